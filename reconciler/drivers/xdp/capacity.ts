import type { XdpSettingsRow } from '../../../schemas/node-state.ts'
import { FAR_PER_NEAR, FLOW_WAYS, HALF_OPEN_BITS } from './layout.ts'

type Capacity = XdpSettingsRow['capacity']

/** Entries of the maps whose size follows from the settings. */
export interface MapSizes {
  readonly vips: number
  readonly services: number
  readonly rings: number
  /** Entries of one VIP and protocol each. */
  readonly port_ranges: number
  readonly member_counters: number
  readonly next_hops: number
  /** Buckets: near ones, a power of two, and FAR_PER_NEAR times as many far ones. */
  readonly flows: number
  /** Buckets, a power of two. */
  readonly half_open: number
}

/**
 * Live flows for each entry of the far buckets. With the near ones besides, 0.008% of them are displaced at 0.5, 0.6%
 * at 0.75.
 */
const FLOW_LOAD = 0.5
const LEAST_NEAR_BUCKETS = 4

/**
 * Of flows, how many may have no more than a SYN at a time: a million that live for a minute are 17,000 new ones
 * a second, and 850 SYNs while answers take 50 ms; of these, one in 70,000 is displaced. The table is to
 * stay in the cache of a CPU; the program takes no more than that many buckets.
 */
const HALF_OPEN_SHARE = 1 / 64
const LEAST_HALF_OPEN_BUCKETS = 1024
const MOST_HALF_OPEN_BUCKETS = 2 ** HALF_OPEN_BITS

/**
 * Services and members twice over: a whole replacement stands beside what it replaces until that is deleted
 * (rule 2).
 */
export function sizeMaps({ flows, services, members }: Capacity): MapSizes {
  return {
    vips: 2 * services,
    services: 2 * services,
    rings: 2 * services,
    port_ranges: 2 * services,
    member_counters: 2 * members,
    next_hops: 2 * members,
    flows: (1 + FAR_PER_NEAR) * nearBucketsFor(flows),
    half_open: Math.min(
      MOST_HALF_OPEN_BUCKETS,
      Math.max(LEAST_HALF_OPEN_BUCKETS, powerOfTwo((flows * HALF_OPEN_SHARE) / FLOW_WAYS)),
    ),
  }
}

const nearBucketsFor = (flows: number): number =>
  Math.max(LEAST_NEAR_BUCKETS, powerOfTwo(flows / FLOW_LOAD / FLOW_WAYS / FAR_PER_NEAR))

/** Of a flow table with so many buckets in all. */
export const nearBucketsOf = (buckets: number): number => buckets / (1 + FAR_PER_NEAR)

/** The flows that a table of so many buckets, of this or an earlier version, is good for. */
export const flowsIn = (buckets: number): number =>
  FLOW_LOAD * FLOW_WAYS * (isOfEarlierVersion(buckets) ? buckets : FAR_PER_NEAR * nearBucketsOf(buckets))

/** Then all buckets are alike, a power of two. */
export const isOfEarlierVersion = (buckets: number): boolean => (buckets & (buckets - 1)) === 0

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(least))
