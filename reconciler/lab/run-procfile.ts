import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Program, startProgram } from '../process/run-command.ts'

export interface ProcfileEntry {
  readonly name: string
  readonly command: string
}

/** Lines of `name: command`; `#` begins a comment. */
export function parseProcfile(text: string): ProcfileEntry[] {
  return [...text.matchAll(/^([\w-]+):[ \t]*(.+)$/gm)].map(([, name = '', command = '']) => ({
    name,
    command,
  }))
}

export interface ProcfileOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Ends them all, the last entry first. */
  readonly signal: AbortSignal
  /** Gets every line that one of them writes, and what happens to it. */
  say(name: string, line: string): void
}

const RESTART_DELAY_MS = 1_000
const STOP_GRACE_MS = 10_000

/**
 * Runs the commands of a Procfile, each by a shell, until the signal; one that ends before is started again.
 * Resolves when all have ended. Each has a process group of its own, so that Ctrl-C reaches this process alone
 * and they end in order.
 */
export async function runProcfile(
  entries: readonly ProcfileEntry[],
  options: ProcfileOptions,
): Promise<void> {
  const running = new Map<string, Program>()
  const keepers = entries.map(entry => keepRunning(entry, options, running))
  await new Promise<void>(done => {
    if (options.signal.aborted) done()
    options.signal.addEventListener('abort', () => done(), { once: true })
  })
  for (const { name } of entries.toReversed()) await running.get(name)?.stop(STOP_GRACE_MS)
  await Promise.all(keepers)
}

async function keepRunning(
  { name, command }: ProcfileEntry,
  { cwd, env, signal, say }: ProcfileOptions,
  running: Map<string, Program>,
): Promise<void> {
  while (!signal.aborted) {
    const output = { stdout: 'pipe', stderr: 'pipe' } as const
    const program = await startProgram('sh', ['-c', command], { cwd, env, ...output, detached: true })
    running.set(name, program)
    for (const stream of [program.stdout, program.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', line => say(name, line))
    }
    const { exitCode, signal: killedBy } = await program.exited
    running.delete(name)
    if (signal.aborted) return
    say(name, `ended with ${exitCode ?? killedBy}; starting it again`)
    await sleep(RESTART_DELAY_MS, undefined, { signal }).catch(() => {})
  }
}
