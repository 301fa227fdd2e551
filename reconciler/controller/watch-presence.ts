import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import type { DriftCollector } from './fleet-drift.ts'

export interface PresenceOptions {
  /** Those of the nodes whose workers listen now; null: nobody can say. */
  readonly readListening: (nodes: readonly string[]) => Promise<ReadonlySet<string> | null>
  readonly nodes: () => readonly string[]
  readonly drift: Pick<DriftCollector, 'listening' | 'ofFleet'>
  readonly leads: () => boolean
  /** Something that only the fleet as a whole shows is there, or gone. */
  readonly onChange: () => void
  readonly log: Log
}

const LOOK_MS = 500

/** What no report tells of, since none comes, or since each is right by itself: looked for all the time. */
export function watchPresence(options: PresenceOptions): { stop(): Promise<void> } {
  const { drift, log } = options
  let told = ''
  const loop = createLoop(
    async () => {
      if (!options.leads()) return
      drift.listening(await options.readListening(options.nodes()))
      const found = drift.ofFleet().map(({ node, kind }) => `${node} ${kind}`)
      const text = found.sort().join()
      if (text !== told) options.onChange()
      told = text
    },
    error => {
      drift.listening(null)
      log.debug({ err: error }, 'who listens cannot be asked; silence is noticed later')
    },
  )
  const timer = setInterval(() => loop.trigger('time'), LOOK_MS)
  return {
    stop() {
      clearInterval(timer)
      return loop.stop()
    },
  }
}
