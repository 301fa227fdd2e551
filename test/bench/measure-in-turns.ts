import { setTimeout as delay } from 'node:timers/promises'
import { quantile } from './benchmark.ts'

/** Of each kind. */
export const WINDOWS = 15
/**
 * ms; a whole period of what nodes do at rest (BullMQ looks for stalled jobs every 2 s), and no more: the heartbeats of all
 * nodes come 10 s after a push, so that none are left when one follows the other sooner.
 */
const WINDOW_MS = 2_000

export interface InTurns {
  /** What was counted in each window, in order. */
  readonly with: readonly number[]
  readonly without: readonly number[]
  /** The difference of their medians: all wants are read again once in 10 s, which falls into few of either. */
  readonly difference: number
  readonly baseline: number
}

/** What counters grow by in a time with the work, and in one as long without it, in turns. */
export async function measureInTurns<Name extends string>(
  read: () => Promise<Record<Name, number>>,
  work: () => Promise<unknown>,
): Promise<Record<Name, InTurns>> {
  const windows: { before: Record<Name, number>; after: Record<Name, number> }[] = []
  for (let window = 0; window < 2 * WINDOWS; window++) {
    const before = await read()
    await Promise.all([window % 2 === 0 ? work() : null, delay(WINDOW_MS)])
    windows.push({ before, after: await read() })
  }
  const inTurns = (name: Name): InTurns => {
    const growth = windows.map(({ before, after }) => after[name] - before[name])
    const worked = growth.filter((_, window) => window % 2 === 0)
    const without = growth.filter((_, window) => window % 2 === 1)
    const baseline = quantile(without, 0.5)
    return { with: worked, without, difference: quantile(worked, 0.5) - baseline, baseline }
  }
  const names = Object.keys(windows[0]!.before) as Name[]
  return Object.fromEntries(names.map(name => [name, inTurns(name)])) as Record<Name, InTurns>
}
