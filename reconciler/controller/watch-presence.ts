import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import type { DriftCollector } from './fleet-drift.ts'
import type { FleetDriftMemory } from './fleet-drift-memory.ts'
import type { FoundSigns } from './follow-signs.ts'

export interface PresenceOptions {
  /** What Redis says of these nodes' workers now. */
  readonly readSigns: (nodes: readonly string[]) => Promise<FoundSigns>
  readonly nodes: () => readonly string[]
  readonly drift: Pick<DriftCollector, 'signs' | 'ofFleet' | 'restore' | 'untilTold'>
  readonly memory: FleetDriftMemory
  /** Of the lease; null while another reconciler leads. */
  readonly epoch: () => number | null
  /** Something that only the fleet as a whole shows is there, or gone. */
  readonly onChange: () => void
  readonly log: Log
}

export interface Presence {
  /** A node has said something that may make nodes disagree. */
  reported(): void
  stop(): Promise<void>
}

/** Who listens is asked so often. */
const LOOK_MS = 500
const SLOW_MS = 1_000
/** Reports of a push come all at once. */
const REPORTED_MS = 50

/** What no report tells of, since none comes, or since each is right by itself: looked for all the time, and when it is due. */
export function watchPresence(options: PresenceOptions): Presence {
  const { drift, log } = options
  let told = ''
  /** Of the memory that this process goes on from; null: to be read. */
  let lastEpoch: number | null = null
  const timers = new Map<'due' | 'reported', NodeJS.Timeout>()
  const lookIn = (reason: 'due' | 'reported', wait: number): void => {
    const look = (): void => {
      timers.delete(reason)
      loop.trigger(reason)
    }
    timers.set(reason, setTimeout(look, wait))
  }
  async function look(): Promise<void> {
    const began = performance.now()
    const found = await options.readSigns(options.nodes())
    // Signs may wait in a Redis that was slow to answer.
    if (performance.now() - began < SLOW_MS) drift.signs(found)
  }

  const loop = createLoop(
    async reasons => {
      const epoch = options.epoch()
      if (epoch === null || epoch !== lastEpoch) told = ''
      if (epoch !== null && epoch !== lastEpoch) {
        const { records, reports } = await options.memory.read()
        drift.restore(records, reports)
      }
      lastEpoch = epoch
      if (epoch === null) return
      if (reasons.has('time') || reasons.has('due')) await look()
      const found = drift.ofFleet()
      const wait = drift.untilTold()
      clearTimeout(timers.get('due'))
      if (wait !== null && wait < LOOK_MS) lookIn('due', wait)
      const text = JSON.stringify(found)
      if (text === told) return
      options.onChange()
      await options.memory.write(found)
      told = text
    },
    error => {
      drift.signs(null)
      log.debug({ err: error }, 'Redis cannot be asked who gives a sign; silence is noticed later')
    },
  )
  const interval = setInterval(() => loop.trigger('time'), LOOK_MS)
  return {
    reported() {
      if (!timers.has('reported')) lookIn('reported', REPORTED_MS)
    },
    async stop() {
      clearInterval(interval)
      await loop.stop()
      for (const timer of timers.values()) clearTimeout(timer)
    },
  }
}
