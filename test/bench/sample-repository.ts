import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { Files } from './sample-fleet.ts'

/** A bare repository that Ballast follows, and another to push from. */
export interface SampleRepository {
  readonly dir: string
  /** Commits files on top of what is there, the others staying; gives the revision. */
  commit(files: Files): Promise<string>
  push(): Promise<Push>
  git(...args: string[]): Promise<string>
}

export interface Push {
  /** When the ref had moved, by its file's time, ms since the epoch. */
  readonly at: number
  /** ms that `git push` took in all. */
  readonly took: number
}

export async function createSampleRepository(dir: string): Promise<SampleRepository> {
  const [bare, author] = [join(dir, 'fleet.git'), join(dir, 'author.git')]
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  const git = async (args: string[], input = ''): Promise<string> =>
    (await runCommand('git', [`--git-dir=${author}`, ...args], { env, timeout: 60_000, input })).stdout.trim()
  for (const folder of [bare, author]) {
    await runCommand('git', ['init', '--quiet', '--bare', '--initial-branch=main', folder], { env })
  }
  let commits = 0
  return {
    dir: bare,
    git: (...args) => git(args),
    async commit(files) {
      const parts = [
        `commit refs/heads/main\ncommitter Bench <bench@ballast.invalid> ${1_700_000_000 + commits} +0000\n`,
        `data 8\na change\n${commits++ === 0 ? '' : 'from refs/heads/main^0\n'}`,
      ]
      for (const [path, text] of files) {
        parts.push(`M 100644 inline ${path}\ndata ${Buffer.byteLength(text)}\n${text}\n`)
      }
      await git(['fast-import', '--quiet', '--force'], parts.join(''))
      return await git(['rev-parse', 'main'])
    },
    async push() {
      const started = performance.now()
      await git(['push', '--quiet', bare, 'main'])
      const took = performance.now() - started
      return { at: (await stat(join(bare, 'refs/heads/main'))).mtimeMs, took }
    },
  }
}
