import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import koffi from 'koffi'

/** The longest of each since the last time that it was asked for, ms. */
export interface LongestTurn {
  /** CPU time of this thread from one timer to the next: what ran in between kept all others. */
  readonly cpu: number
  /** The same, less what the collection of garbage took of the turn. */
  readonly own: number
  /** A pause for the collection of garbage. */
  readonly collection: number
}

interface Turn {
  readonly from: number
  readonly to: number
  readonly cpu: number
}

/**
 * Says how long turns of the event loop were. On a busy machine CPU time says more than the clock, which also counts
 * while others have the CPU.
 */
export function watchTurns() {
  let turns: Turn[] = []
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
    longest(): LongestTurn {
      look()
      pauses.push(...observer.takeRecords())
      const longest = {
        cpu: Math.max(...turns.map(({ cpu }) => cpu)),
        own: Math.max(...ownTimes(turns, pauses)),
        collection: Math.max(0, ...pauses.map(({ duration }) => duration)),
      }
      turns = []
      pauses = []
      return longest
    },
    end(): void {
      clearInterval(timer)
      observer.disconnect()
    },
  }
}

/** Both in their order. */
function ownTimes(turns: readonly Turn[], pauses: readonly PerformanceEntry[]): number[] {
  let next = 0
  return turns.map(({ to, cpu }) => {
    let collected = 0
    for (; next < pauses.length && pauses[next]!.startTime < to; next++) collected += pauses[next]!.duration
    return Math.max(0, cpu - collected)
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
