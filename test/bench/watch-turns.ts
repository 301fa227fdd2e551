import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import koffi from 'koffi'

/** The longest of each, ms. */
export interface LongestTurn {
  /** CPU time of this thread from one timer to the next: what ran in between kept all others. */
  readonly cpu: number
  /** The same, less what the collection of garbage took of the turn. */
  readonly own: number
  /** A pause for the collection of garbage. */
  readonly collection: number
}

/** `from` and `to` in ms of `performance.now()`, the rest as above. */
export interface Turn extends LongestTurn {
  readonly from: number
  readonly to: number
}

type Timed = Pick<Turn, 'from' | 'to' | 'cpu'>

/**
 * Says how long turns of the event loop were. On a busy machine CPU time says more than the clock, which also counts
 * while others have the CPU.
 */
export function watchTurns() {
  let turns: Timed[] = []
  let pauses: PerformanceEntry[] = []
  let [last, since] = [cpuTime(), performance.now()]
  const look = (): void => {
    const [now, to] = [cpuTime(), performance.now()]
    turns.push({ from: since, to, cpu: now - last })
    ;[last, since] = [now, to]
  }
  const observer = new PerformanceObserver(list => pauses.push(...list.getEntries()))
  observer.observe({ entryTypes: ['gc'] })
  const timer = setInterval(look, 1)
  return {
    /** Those since the last time that they were asked for. */
    take(): Turn[] {
      look()
      pauses.push(...observer.takeRecords())
      const taken = withPauses(turns, pauses)
      turns = []
      pauses = []
      return taken
    },
    end(): void {
      clearInterval(timer)
      observer.disconnect()
    },
  }
}

export const longestOf = (turns: readonly LongestTurn[]): LongestTurn => ({
  cpu: Math.max(0, ...turns.map(({ cpu }) => cpu)),
  own: Math.max(0, ...turns.map(({ own }) => own)),
  collection: Math.max(0, ...turns.map(({ collection }) => collection)),
})

/** Both in their order. */
function withPauses(turns: readonly Timed[], pauses: readonly PerformanceEntry[]): Turn[] {
  let next = 0
  return turns.map(turn => {
    let collected = 0
    let collection = 0
    for (; next < pauses.length && pauses[next]!.startTime < turn.to; next++) {
      const { duration } = pauses[next]!
      collected += duration
      collection = Math.max(collection, duration)
    }
    return { ...turn, own: Math.max(0, turn.cpu - collected), collection }
  })
}

/** By its own clock: what getrusage(2) says of a thread, and Node with it, is as of the kernel's last tick, up to 4 ms ago. */
function cpuTime(): number {
  getTime(CLOCK_THREAD_CPUTIME_ID, time)
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6
}

const CLOCK_THREAD_CPUTIME_ID = 3
/** `struct timespec`. */
const time = new BigInt64Array(2)
const getTime = koffi.load(null).func('int clock_gettime(int clock, void *time)')
