import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'

/** A real repository in a folder of its own, removed after the test. */
export interface TestRepository {
  readonly dir: string
  /** What it prints, without white space around. */
  git(...args: string[]): string
  /** What it prints, as it is. */
  gitRaw(...args: string[]): string
  gitWithInput(input: string | Uint8Array, ...args: string[]): string
  write(path: string, content: string | Uint8Array): void
  remove(path: string): void
  /** Commits everything in the work tree; gives the commit's id. */
  commit(message?: string): string
}

const ENVIRONMENT = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
}

export function temporaryFolder(t: Pick<TestContext, 'after'>): string {
  const dir = mkdtempSync(join(tmpdir(), 'ballast-test-repo-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export function makeRepository(t: Pick<TestContext, 'after'>, ...initArgs: string[]): TestRepository {
  const repository = useRepository(temporaryFolder(t))
  repository.git('init', '--quiet', '--initial-branch=main', ...initArgs)
  // A collection in the background would still be writing while the folder is removed.
  repository.git('config', 'gc.auto', '0')
  repository.git('config', 'maintenance.auto', 'false')
  return repository
}

export function useRepository(dir: string): TestRepository {
  const run = (input: string | Uint8Array, args: string[]): string =>
    execFileSync('git', args, {
      cwd: dir,
      env: ENVIRONMENT,
      input,
      maxBuffer: 1 << 28,
      stdio: 'pipe',
    }).toString()
  const git = (...args: string[]): string => run('', args).trim()
  return {
    dir,
    git,
    gitRaw: (...args) => run('', args),
    gitWithInput: (input, ...args) => run(input, args).trim(),
    write(path, content) {
      mkdirSync(dirname(join(dir, path)), { recursive: true })
      writeFileSync(join(dir, path), content)
    },
    remove: path => rmSync(join(dir, path), { recursive: true }),
    commit(message = 'change') {
      git('add', '--all')
      git('commit', '--quiet', '--allow-empty', '--message', message)
      return git('rev-parse', 'HEAD')
    },
  }
}
