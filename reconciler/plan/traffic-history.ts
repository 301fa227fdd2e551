import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import { type Rates, TRAFFIC_RECORD_VERSION, type TrafficRecord } from '../../schemas/traffic.ts'

/** A week, ms: a peak is the highest of the running week and the one before it. */
export const WINDOW_MS = 7 * 24 * 3_600_000
/** Counts further apart than this say nothing of now, ms. */
const LONGEST_INTERVAL_MS = 10 * 60_000

/** Packets/s by service and backend, on all nodes together. */
export type TrafficRates = ReadonlyMap<RowKey, ReadonlyMap<string, number>>

/**
 * What the nodes forwarded between two counts. A node that is not in both, or was not counted again, is left out; a
 * count that went back was begun again, from 0.
 */
export function ratesBetween(before: readonly NodeCounters[], after: readonly NodeCounters[]): TrafficRates {
  const earlier = new Map(before.map(counters => [counters.node, counters]))
  const rates = new Map<RowKey, Map<string, number>>()
  for (const { node, at, services } of after) {
    const was = earlier.get(node)
    const interval = at - (was?.at ?? at)
    if (was === undefined || interval <= 0 || interval > LONGEST_INTERVAL_MS) continue
    for (const [key, backends] of Object.entries(services)) {
      const counts = new Map((was.services[key] ?? []).map(({ address, packets }) => [address, packets]))
      const sums = rates.get(key) ?? new Map<string, number>()
      rates.set(key, sums)
      for (const { address, packets } of backends) {
        const known = counts.get(address) ?? 0
        const forwarded = packets >= known ? packets - known : packets
        sums.set(address, (sums.get(address) ?? 0) + (forwarded * 1000) / interval)
      }
    }
  }
  return rates
}

/** A record with one more measurement in it. Backends without traffic for a whole window are forgotten. */
export function recordTraffic(
  known: TrafficRecord | null,
  { at, rates }: { readonly at: number; readonly rates: ReadonlyMap<string, number> },
): TrafficRecord {
  const window = Math.floor(at / WINDOW_MS)
  const passed = known === null ? 0 : Math.max(0, window - known.window)
  const advance = (was: Rates | undefined, rate: number): Rates => {
    if (was === undefined) return { rate, peak: rate, before: 0 }
    if (passed === 0) return { rate, peak: Math.max(was.peak, rate), before: was.before }
    return { rate, peak: rate, before: passed === 1 ? was.peak : 0 }
  }
  const backends: Record<string, Rates> = {}
  for (const address of new Set([...Object.keys(known?.backends ?? {}), ...rates.keys()])) {
    const next = advance(known?.backends[address], rates.get(address) ?? 0)
    if (next.rate + next.peak + next.before > 0) backends[address] = next
  }
  const total = [...rates.values()].reduce((sum, rate) => sum + rate, 0)
  return {
    version: TRAFFIC_RECORD_VERSION,
    at,
    window: Math.max(window, known?.window ?? window),
    total: advance(known?.total, total),
    backends,
  }
}

export const peakOf = ({ peak, before }: Rates): number => Math.max(peak, before)
