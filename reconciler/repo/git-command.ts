import { BallastError } from '../../schemas/ballast-error.ts'
import {
  type CommandOptions,
  type CommandResult,
  type Program,
  type ProgramOptions,
  runCommand,
  startProgram,
} from '../process/run-command.ts'

/** Where a repository lies on disk. */
export interface GitPlace {
  /** As it was named, without symlinks. */
  readonly dir: string
  /** Its HEAD and, in a linked worktree, little else. */
  readonly gitDir: string
  /** Its objects and branches; the same as `gitDir` but in a linked worktree. */
  readonly commonDir: string
}

export const runGit = (
  place: GitPlace,
  args: readonly string[],
  options: Pick<CommandOptions, 'okExitCodes' | 'timeout' | 'input' | 'env' | 'signal'> = {},
): Promise<CommandResult> =>
  runCommand('git', [...settings(place), ...args], {
    timeout: 30_000,
    ...options,
    env: { ...gitEnvironment(), ...options.env },
  })

export const startGit = (
  place: GitPlace,
  args: readonly string[],
  options: Pick<ProgramOptions, 'stderr'> = {},
): Promise<Program> =>
  startProgram('git', [...settings(place), ...args], {
    ...options,
    env: gitEnvironment(),
    stdin: 'pipe',
    stdout: 'pipe',
  })

/**
 * What a repository's own configuration could make git run is switched off: whoever may push may not run
 * programs here. `safe.directory`: an operator named this repository, so it may belong to somebody else.
 */
const settings = ({ dir, gitDir, commonDir }: GitPlace): string[] => [
  `--git-dir=${gitDir}`,
  ...['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'protocol.allow=never'],
  ...[dir, gitDir, commonDir].flatMap(folder => ['-c', `safe.directory=${folder}`]),
  ...['-c', 'i18n.logOutputEncoding=UTF-8', '-c', 'advice.objectNameWarning=false'],
]

/**
 * Nothing of what the caller's environment says about some repository (a hook sets `GIT_DIR`), no settings of
 * this machine or user, no objects in place of others (git-replace): what was reviewed is what is read.
 */
export const gitEnvironment = (): Record<string, string | undefined> => ({
  PATH: process.env.PATH,
  LC_ALL: 'C',
  GIT_COMMITTER_NAME: 'ballast',
  GIT_COMMITTER_EMAIL: 'ballast@localhost',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_TERMINAL_PROMPT: '0',
})

export const revisionNotFound = ({ dir }: GitPlace, revision: string, cause?: unknown): BallastError =>
  new BallastError({
    code: 'REVISION_NOT_FOUND',
    message: `${dir} has no commit ${revision}`,
    hint: 'It may have been removed (a force-push and git gc), or never been fetched.',
    cause,
  })
