import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { TrafficRecord } from '../../schemas/traffic.ts'
import type { Log } from '../log/log.ts'
import { ratesBetween, recordTraffic } from '../plan/traffic-history.ts'
import { createLoop } from '../process/loop.ts'

export interface TrafficSamplerOptions {
  readonly readCounters: () => Promise<readonly NodeCounters[]>
  readonly history: {
    read(keys: readonly RowKey[]): Promise<Map<RowKey, TrafficRecord>>
    write(records: ReadonlyMap<RowKey, TrafficRecord>): Promise<void>
  }
  /** Whether this process may write. */
  readonly leads: () => boolean
  readonly log: Log
  /** ms since the epoch. */
  readonly now: () => number
  /** ms. */
  readonly interval?: number
}

/** A peak is the most of averages over so long, ms. */
const INTERVAL_MS = 60_000

/** Keeps how much traffic every service had lately, while it leads, until stopped. */
export function sampleTraffic(options: TrafficSamplerOptions): { stop(): Promise<void> } {
  const { readCounters, history, leads, log, now, interval = INTERVAL_MS } = options
  let before: readonly NodeCounters[] = []

  async function sample(): Promise<void> {
    if (!leads()) {
      before = []
      return
    }
    const after = await readCounters()
    const rates = ratesBetween(before, after)
    before = after
    if (rates.size === 0) return
    const known = await history.read([...rates.keys()])
    const at = now()
    await history.write(
      new Map(
        Array.from(rates, ([key, of]) => [key, recordTraffic(known.get(key) ?? null, { at, rates: of })]),
      ),
    )
  }

  const loop = createLoop(sample, error => log.warn({ err: error }, 'traffic was not recorded; trying again'))
  const timer = setInterval(() => loop.trigger('time'), interval)
  loop.trigger('start')
  return {
    async stop() {
      clearInterval(timer)
      await loop.stop()
    },
  }
}
