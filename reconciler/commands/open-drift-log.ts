import { join } from 'node:path'
import type { Settings } from '../../schemas/settings.ts'
import { type DriftLog, type DriftLogOptions, startDriftLog } from '../controller/drift-log.ts'
import { openDriftBranch } from '../repo/drift-branch.ts'
import { openWritableRemote } from '../repo/source.ts'
import { accessTo, type SourceSettings } from './open-source.ts'
import { CommandFailure } from './outcome.ts'

/** The settings of what is committed of drift. */
export const DRIFT_SETTINGS = [
  'driftBranch',
  'driftRepo',
  'driftTokenFile',
  'driftSshKeyFile',
  'driftCommitAfter',
  'driftAuthor',
  'driftSubjectSuffix',
  'driftSigningKey',
] as const

type Given = 'driftBranch' | 'driftCommitAfter' | 'driftAuthor' | 'driftSubjectSuffix'
type DriftSettings = SourceSettings & { readonly [S in Given]: Settings[S] } & {
  readonly [S in Exclude<(typeof DRIFT_SETTINGS)[number], Given>]: Settings[S] | undefined
}

export interface DriftLogInput extends Pick<DriftLogOptions, 'readDrift' | 'epoch' | 'log' | 'now'> {
  readonly settings: DriftSettings
  /** The branch that is followed; null: not known. */
  readonly followed: string | null
}

/** Null: drift is not committed. Throws `CommandFailure`, and what opening the repository throws. */
export async function openDriftLog({
  settings,
  followed,
  ...options
}: DriftLogInput): Promise<DriftLog | null> {
  const { driftBranch: branch, driftCommitAfter: commitAfter, driftSubjectSuffix: subjectSuffix } = settings
  if (branch === '') return null
  if (settings.driftRepo === undefined && branch === followed) {
    throw new CommandFailure(
      `--drift-branch: ${branch} is the branch that is followed. Give drift a branch of its own.`,
    )
  }
  const access = accessOf(settings)
  const opened = await openDriftBranch({
    dir: join(settings.stateDir, 'drift'),
    branch,
    openRemote: place => openWritableRemote(access, place),
    author: authorOf(settings),
    signingKey: settings.driftSigningKey,
  })
  return startDriftLog({ ...options, branch: opened, commitAfter, subjectSuffix })
}

/** Of what Ballast commits by itself. */
export function authorOf({ driftAuthor }: Pick<Settings, 'driftAuthor'>): { name: string; email: string } {
  const [, name = '', email = ''] = /^(.+) <(.+)>$/.exec(driftAuthor) ?? []
  return { name, email }
}

/** Secrets for one server are not shown to another. */
function accessOf(settings: DriftSettings): ReturnType<typeof accessTo> {
  const { driftRepo: repo = settings.repo, driftTokenFile, driftSshKeyFile } = settings
  const access = accessTo(settings)
  const isSame = hostOf(repo) === hostOf(settings.repo)
  const credentials = isSame ? access.http.credentials : ({ kind: 'none' } as const)
  return {
    repo,
    http: {
      ...access.http,
      credentials:
        driftTokenFile === undefined
          ? credentials
          : { kind: 'token', file: driftTokenFile, user: settings.gitUser },
    },
    ssh: { ...access.ssh, keyFile: driftSshKeyFile ?? access.ssh.keyFile },
  }
}

const hostOf = (repo: string): string | null =>
  /^https?:/.test(repo) && URL.canParse(repo) ? new URL(repo).origin : null
