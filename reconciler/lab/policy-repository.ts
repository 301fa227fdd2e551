import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { runCommand } from '../process/run-command.ts'

/** The example fleet in a Git repository of its own, with a clone to edit it in. */
export interface PolicyRepository {
  /** Where Ballast looks and pushes go. */
  readonly bare: string
  readonly clone: string
  /** Commits what the clone holds. */
  commit(message: string): Promise<void>
  push(): Promise<Push>
  /** Rewrites the backends of a pool, keeping the rest of its file. */
  setBackends(pool: string, backends: readonly PoolBackend[]): Promise<void>
  /** Replaces the first occurrence in a file, which must have one. */
  replace(file: string, text: string, replacement: string): Promise<void>
}

export interface Push {
  readonly revision: string
  /** When `git push` had returned, ms since the epoch. */
  readonly at: number
}

export interface PoolBackend {
  readonly address: string
  readonly weight: number
  readonly drain?: boolean
}

const EXAMPLE = resolve(import.meta.dirname, '../../manifests')

/** Makes both in `dir`, with the example manifests in the clone, not yet committed. */
export async function createPolicyRepository(dir: string): Promise<PolicyRepository> {
  const [bare, clone] = [join(dir, 'policy.git'), join(dir, 'policy')]
  // What the machine's user set up for Git has no say in a demo.
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  const git = async (...args: string[]): Promise<string> =>
    (await runCommand('git', ['-C', clone, ...args], { env, timeout: 30_000 })).stdout.trim()

  await mkdir(clone, { recursive: true })
  await git('init', '--quiet', '--bare', '--initial-branch=main', bare)
  await git('init', '--quiet', '--initial-branch=main')
  await git('config', 'user.name', 'Ballast lab')
  await git('config', 'user.email', 'lab@ballast.invalid')
  await git('remote', 'add', 'origin', bare)
  await cp(EXAMPLE, clone, { recursive: true })

  return {
    bare,
    clone,
    async commit(message) {
      await git('add', '--all')
      await git('commit', '--quiet', '--message', message)
    },
    async push() {
      const revision = await git('rev-parse', 'HEAD')
      await git('push', '--quiet', '--set-upstream', 'origin', 'main')
      return { revision, at: Date.now() }
    },
    async setBackends(pool, backends) {
      const file = join(clone, 'pools', `${pool}.yaml`)
      const document = parseDocument(await readFile(file, 'utf8'))
      document.setIn(['spec', 'backends'], document.createNode(backends))
      await writeFile(file, document.toString())
    },
    async replace(name, text, replacement) {
      const file = join(clone, name)
      const before = await readFile(file, 'utf8')
      const after = before.replace(text, () => replacement)
      if (after === before) throw new Error(`${name} has no ${JSON.stringify(text)}`)
      await writeFile(file, after)
    },
  }
}

/** Gives both to the user who called sudo, so that they can push. */
export async function giveToSudoUser({ bare, clone }: PolicyRepository): Promise<void> {
  const { SUDO_UID, SUDO_GID } = process.env
  if (SUDO_UID === undefined || SUDO_GID === undefined) return
  await runCommand('chown', ['--recursive', `${SUDO_UID}:${SUDO_GID}`, bare, clone])
}
