import { realpath } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import { runCommand } from '../process/run-command.ts'
import { type GitPlace, gitEnvironment } from './git-command.ts'

/** Throws `REPO_NOT_FOUND`, `REPO_UNSUPPORTED`, `GIT_NOT_INSTALLED`. */
export async function findRepository(folder: string): Promise<GitPlace> {
  const dir = await realpath(folder).catch((cause: unknown) => {
    throw notFound(folder, cause)
  })
  const args = ['rev-parse', '--path-format=absolute', '--git-dir', '--git-common-dir']
  const { stdout } = await runCommand('git', ['-c', 'safe.directory=*', ...args], {
    cwd: dir,
    // Else git looks for a repository in the folders above, too.
    env: { ...gitEnvironment(), GIT_CEILING_DIRECTORIES: dirname(dir) },
  }).catch((cause: unknown) => {
    throw explain(folder, cause)
  })
  const [gitDir = '', commonDir = ''] = stdout.split('\n')
  return { dir, gitDir, commonDir }
}

function explain(folder: string, cause: unknown): unknown {
  if (!(cause instanceof BallastError)) return cause
  if (cause.code === 'COMMAND_NOT_FOUND') {
    return new BallastError({
      code: 'GIT_NOT_INSTALLED',
      message: 'git is not installed',
      hint: 'Install git 2.36 or newer (Debian: apt-get install git).',
      cause,
    })
  }
  if (/not a git repository/.test(cause.message)) return notFound(folder, cause)
  if (cause.code !== 'COMMAND_FAILED') return cause
  return new BallastError({
    code: 'REPO_UNSUPPORTED',
    message: `git cannot read the repository at ${folder}: ${cause.message}`,
    hint: 'A newer git may know its format; `git fsck` tells whether it is whole.',
    cause,
  })
}

const notFound = (folder: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'REPO_NOT_FOUND',
    message: `there is no Git repository at ${folder}`,
    hint: 'Name the top folder of a working repository, or a bare repository (git init --bare).',
    cause,
  })
