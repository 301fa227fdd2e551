import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import type { DriftCollector } from './fleet-drift.ts'
import type { FleetDriftMemory } from './fleet-drift-memory.ts'

export interface PresenceOptions {
  /** Those of the nodes whose workers listen now; null: nobody can say. */
  readonly readListening: (nodes: readonly string[]) => Promise<ReadonlySet<string> | null>
  readonly nodes: () => readonly string[]
  readonly drift: Pick<DriftCollector, 'listening' | 'ofFleet' | 'restore' | 'untilTold'>
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
      if (reasons.has('time') || reasons.has('due'))
        drift.listening(await options.readListening(options.nodes()))
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
      drift.listening(null)
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
