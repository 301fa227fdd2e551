import { BallastError } from '../../schemas/ballast-error.ts'
import { startProgram } from '../process/run-command.ts'

/**
 * Runs this very command again through sudo and gives its exit code; null when this process is root already.
 * By its full path, since sudo has a path of its own. Adds the folders of administrators' programs to the path of
 * a root who has them not, as after Debian's `su`. Throws `ROOT_NEEDED`.
 */
export async function rerunAsRoot(): Promise<number | null> {
  if (process.getuid?.() === 0) {
    process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`
    return null
  }
  const ask = process.stdin.isTTY ? [] : ['--non-interactive']
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.stderr.write(
    'The lab makes network namespaces and loads XDP programs, which only root may: running sudo.\n',
  )
  let exitCode: number | null = null
  try {
    const program = await startProgram('sudo', [...ask, '--', ...command], {
      stdout: 'inherit',
      stderr: 'inherit',
    })
    // The terminal tells both; the one that cleans up says when it is done.
    process.on('SIGINT', () => {})
    process.once('SIGTERM', () => void program.stop(30_000))
    exitCode = (await program.exited).exitCode
  } catch (cause) {
    throw rootNeeded(cause)
  }
  return exitCode ?? 1
}

const rootNeeded = (cause: unknown): BallastError =>
  new BallastError({
    code: 'ROOT_NEEDED',
    message: 'the lab makes network namespaces and loads XDP programs, which only root may',
    hint: 'Run it as root, or install sudo. Without root, `npm test` runs everything that needs no kernel.',
    cause,
  })
