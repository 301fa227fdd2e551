import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Revision } from '../../schemas/want.ts'
import { runCommand } from '../process/run-command.ts'
import { findRepository } from './find-repository.ts'
import { type GitPlace, gitEnvironment, runGit } from './git-command.ts'

/** A bare repository of our own, with the full history of the branch that is followed. */
export interface Mirror {
  readonly place: GitPlace
  head(branch: string): Promise<Revision | null>
  /**
   * Null: the branch is gone. Its commits stay while they are accepted, and for two weeks. Does nothing when the head
   * is not `previous` any more: another process has looked at the remote later.
   */
  move(branch: string, revision: Revision | null, previous: Revision | null): Promise<void>
  /** When it was last compared with its remote, ms since the epoch, also by an earlier process. */
  lastPull(): Promise<number | null>
  pulled(at: number): Promise<void>
  /** Packs what lies about, when there is much of it. Whoever reads meanwhile finds everything. */
  collect(): Promise<void>
}

/** Loose objects and packs from which `git gc --auto` does something (git-gc(1)). */
const COLLECT_FROM = { loose: 2000, packs: 20 }
const COLLECT_MS = 900_000

/** Makes it if it is not there. Throws what `findRepository` throws. */
export async function openMirror(dir: string, collectFrom = COLLECT_FROM): Promise<Mirror> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await runCommand('git', ['init', '--quiet', '--bare', '--template=', '--initial-branch=main', dir], {
    env: gitEnvironment(),
  })
  const place = await findRepository(dir)
  const pullFile = join(dir, 'last-pull')

  async function head(branch: string): Promise<Revision | null> {
    const args = ['rev-parse', '--verify', '--quiet', `refs/heads/${branch}^{commit}`]
    const { stdout } = await runGit(place, args, { okExitCodes: [0, 1] })
    return Revision.safeParse(stdout.trim()).data ?? null
  }

  return {
    place,

    head,

    async move(branch, revision, previous) {
      const ref = `refs/heads/${branch}`
      const none = '0'.repeat((revision ?? previous ?? '').length)
      const args = revision === null ? ['-d', ref] : [ref, revision]
      await runGit(place, ['update-ref', ...args, previous ?? none]).catch(async (cause: unknown) => {
        if ((await head(branch)) === previous) throw cause
      })
    },

    async lastPull() {
      const text = await readFile(pullFile, 'utf8').catch(() => '')
      return Number.parseInt(text, 10) || null
    },

    pulled: at => writeFile(pullFile, `${at}\n`),

    async collect() {
      const { loose, packs } = collectFrom
      const settings = [`gc.auto=${loose}`, `gc.autoPackLimit=${packs}`, 'gc.autoDetach=false']
      await runGit(place, [...settings.flatMap(each => ['-c', each]), 'gc', '--auto', '--quiet'], {
        timeout: COLLECT_MS,
      })
    },
  }
}
