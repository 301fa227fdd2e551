import { readFileSync } from 'node:fs'
import type { Settings } from '../../schemas/settings.ts'
import { type CiJob, detectCi } from '../forge/detect-ci.ts'
import type { Forge, ForgeKind } from '../forge/forge.ts'
import { openForge } from '../forge/open-forge.ts'
import { readSecret } from '../repo/read-secret.ts'
import { CommandFailure } from './outcome.ts'

export const FORGE_SETTINGS = ['forge', 'forgeUrl', 'forgeProject', 'forgeTokenFile'] as const

export type ForgeSettings = { readonly [S in (typeof FORGE_SETTINGS)[number]]: Settings[S] | undefined }

export interface OpenForge {
  readonly kind: ForgeKind
  readonly forge: Forge
}

const USUAL_URLS = {
  github: 'https://api.github.com',
  gitlab: 'https://gitlab.com',
  gitea: undefined,
} as const

/** Null: no forge is set. Throws `CommandFailure` for settings that do not suffice. */
export function openConfiguredForge(settings: ForgeSettings): OpenForge | null {
  const { forge: kind, forgeProject: project, forgeTokenFile: file } = settings
  if (kind === undefined) return null
  if (file === undefined) throw new CommandFailure('--forge needs --forge-token-file.')
  return open(kind, settings.forgeUrl, project, () => readSecret(file))
}

/** The forge that a CI job runs for, where settings do not say otherwise; `forge` null: nothing to prove who we are. */
export function openForgeOfJob(
  settings: ForgeSettings,
  job: CiJob | null,
): { kind: ForgeKind; forge: Forge | null } {
  const kind = settings.forge ?? job?.kind
  if (kind === undefined)
    throw new CommandFailure('No CI job of a known forge was found here; say which with --forge.')
  const own = job?.kind === kind ? job : null
  const { forgeTokenFile: file } = settings
  const token = own?.token
  if (file === undefined && token === undefined) return { kind, forge: null }
  const read = file === undefined ? async () => token ?? '' : () => readSecret(file)
  return open(kind, settings.forgeUrl ?? own?.url, settings.forgeProject ?? own?.project, read)
}

export const detectJob = (): CiJob | null => detectCi(process.env, file => readFileSync(file, 'utf8'))

function open(
  kind: ForgeKind,
  url: string | undefined = USUAL_URLS[kind],
  project: string | undefined,
  token: () => Promise<string>,
): OpenForge {
  if (url === undefined) throw new CommandFailure(`--forge ${kind} needs --forge-url.`)
  if (project === undefined) throw new CommandFailure(`--forge ${kind} needs --forge-project.`)
  return { kind, forge: openForge({ kind, url, project, token }) }
}
