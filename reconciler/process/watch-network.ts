import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { startProgram } from './run-command.ts'

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
  const monitor = await startProgram('ip', ['-o', 'monitor', ...objects], { stdout: 'pipe' }).catch(
    () => null,
  )
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
