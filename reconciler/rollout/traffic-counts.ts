import { TRAFFIC_COUNTS, type TrafficCounts } from '../../schemas/traffic-counts.ts'

/** What was counted between; null: counters began again. */
export function growthOf(before: TrafficCounts, after: TrafficCounts): TrafficCounts | null {
  const grown = mapCounts(key => after[key] - before[key])
  return TRAFFIC_COUNTS.some(key => grown[key] < 0) ? null : grown
}

export const sumCounts = (all: readonly TrafficCounts[]): TrafficCounts =>
  mapCounts(key => all.reduce((total, counts) => total + counts[key], 0))

const mapCounts = (count: (key: (typeof TRAFFIC_COUNTS)[number]) => number): TrafficCounts =>
  Object.fromEntries(TRAFFIC_COUNTS.map(key => [key, count(key)])) as TrafficCounts
