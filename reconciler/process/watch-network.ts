import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { type Program, startProgram } from './run-command.ts'

/** What of the network the kernel tells changes of (rtnetlink(7), by ip-monitor(8)). */
export type NetworkObject = 'link' | 'address' | 'neigh' | 'route'

const RESTART_MS = 1000

/**
 * A line for every change in the network namespace of this process, as long as the signal lets it. Where ip(8) is
 * missing, or ends, it is tried again: who reads this looks from time to time in any case.
 */
export async function* watchNetwork(
  objects: readonly NetworkObject[],
  signal: AbortSignal,
): AsyncIterable<string> {
  while (!signal.aborted) {
    yield* readMonitor(objects, signal)
    await delay(RESTART_MS, undefined, { signal }).catch(() => {})
  }
}

async function* readMonitor(objects: readonly NetworkObject[], signal: AbortSignal): AsyncIterable<string> {
  const monitor = await startTied(['ip', '-o', 'monitor', ...objects])
  if (monitor?.stdout == null) return
  const end = (): void => void monitor.stop()
  signal.addEventListener('abort', end, { once: true })
  try {
    yield* createInterface({ input: monitor.stdout })
  } finally {
    signal.removeEventListener('abort', end)
    await monitor.stop()
  }
}

/**
 * By setpriv(1) the kernel ends the program when this process is killed: it would notice by itself only when it has something to
 * say, which may be never. Null: it cannot be started.
 */
async function startTied(command: readonly [string, ...string[]]): Promise<Program | null> {
  const [file, ...args] = command
  const options = { stdout: 'pipe' } as const
  return startProgram('setpriv', ['--pdeathsig', 'KILL', ...command], options)
    .catch(() => startProgram(file, args, options))
    .catch(() => null)
}
