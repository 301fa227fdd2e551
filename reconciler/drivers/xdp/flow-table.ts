import type { Breathe } from '../../process/breather.ts'
import { createBreather } from '../../process/breather.ts'
import { isOfEarlierVersion, nearBucketsOf } from './capacity.ts'
import { type Dataplane, type OpenMap, readControl } from './dataplane.ts'
import { encodeIndex, FLOW_WAYS, HALF_OPEN_BITS, structs } from './layout.ts'
import { lookupEntry } from './libbpf/maps.ts'
import { withMapped } from './libc.ts'

/**
 * The flow table, mapped to memory and read in slices while the program writes it. An entry is four 32-bit
 * words, the lower half of `check` and `data` first; see bpf/lb_types.h for what is in them.
 */
const WORDS = structs.flow.size / 4
const BUCKET_WORDS = WORDS * FLOW_WAYS
const TICK_BITS = 30n
const STAMP_BITS = 24
const SLICE_WORDS = BUCKET_WORDS * 512

export const FlowState = { syn: 1, confirmed: 2, fin: 3, udp: 4 } as const

/** Idle time in ticks after which an entry counts no more. UDP's is its service's `idleTimeout`. */
const IDLE_TICKS: Readonly<Record<number, number>> = {
  [FlowState.syn]: 60,
  [FlowState.confirmed]: 7200,
  [FlowState.fin]: 30,
  [FlowState.udp]: 300,
}

export interface FlowEntry {
  /** Of the member: its generation and its index. */
  readonly generation: number
  readonly index: number
  readonly state: number
  /** Ticks of 2^30 ns since its last packet. */
  readonly idle: number
}

/** Calls `visit` for every entry that is not empty; `visit` must not keep the event loop. */
export function scanFlows(
  { fd, info }: OpenMap,
  breathe: Breathe,
  visit: (entry: FlowEntry) => void,
): Promise<void> {
  return withMapped(fd, { bytes: info.maxEntries * structs.flow_bucket.size }, async memory => {
    const words = new Uint32Array(memory)
    const now = ticksNow()
    for (let at = 0; at < words.length; at += SLICE_WORDS) {
      await breathe()
      visitSlice(words.subarray(at, at + SLICE_WORDS), now, visit)
    }
  })
}

/** Most entries are empty, of which one word says so. */
function visitSlice(words: Uint32Array, now: number, visit: (entry: FlowEntry) => void): void {
  for (let at = 3; at < words.length; at += WORDS) {
    const high = words[at]!
    if (high >>> 8 !== 0) visit(decodeFlow(words[at - 1]!, high, now))
  }
}

/** As the program sees it, save for UDP services with a shorter idle timeout. */
export const isLive = ({ state, idle }: FlowEntry): boolean => idle < (IDLE_TICKS[state] ?? 0)

/**
 * Enters the flows of one table into another of another size, where they are not yet. The program may use
 * either all the while: what it writes meanwhile is not overwritten, and who copies again after the last
 * packet loses none.
 */
export async function copyFlows(from: Dataplane, to: Dataplane): Promise<void> {
  const { bucketKey } = readControl(to)
  const copy = (source: OpenMap, target: OpenMap, bucketsOf: BucketsOf): Promise<void> =>
    copyEntries(source, target, tag => bucketsOf(finish(tag ^ bucketKey), target.info.maxEntries))
  await copy(from.maps.flows, to.maps.flows, flowBuckets)
  if (from.maps.half_open === undefined || to.maps.half_open === undefined) return
  await copy(from.maps.half_open, to.maps.half_open, halfOpenBuckets)
}

/** `bucketsOf`: where an entry with that tag may be. */
async function copyEntries(
  source: OpenMap,
  target: OpenMap,
  bucketsOf: (tag: bigint) => readonly number[],
): Promise<void> {
  if (source.info.id === target.info.id) return
  const breathe = createBreather()
  const bytes = (map: OpenMap) => map.info.maxEntries * structs.flow_bucket.size
  await withMapped(source.fd, { bytes: bytes(source) }, old =>
    withMapped(target.fd, { bytes: bytes(target), writable: true }, async young => {
      const words = new Uint32Array(old)
      const table = openTable(young, bucketsOf)
      const now = ticksNow()
      for (let at = 0; at < words.length; at += WORDS) {
        if (at % SLICE_WORDS === 0) await breathe()
        const entry: Entry = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!]
        if (entry[3] >>> 8 !== 0 && isLive(decodeFlow(entry[2], entry[3], now))) table.enter(entry)
      }
    }),
  )
}

/** The buckets of a flow in the order in which they are looked into, of `count`; `mixed`: `bucket_hash` of bpf/hash.h. */
type BucketsOf = (mixed: bigint, count: number) => readonly number[]

/** `near_bucket` and `far_bucket` of bpf/choose.h. */
const flowBuckets: BucketsOf = (mixed, count) => {
  if (isOfEarlierVersion(count)) return [lowest(mixed >> 32n, count), lowest(mixed, count)]
  const near = nearBucketsOf(count)
  const far = lowest(mixed, count - near)
  return [lowest(mixed >> 32n, near), near + far, near + (far ^ 1)]
}

/** `half_open_bucket` of bpf/half_open.h. */
const halfOpenBuckets: BucketsOf = (mixed, count) => [lowest(mixed >> BigInt(64 - HALF_OPEN_BITS), count)]

/** `powerOfTwo`: how many numbers there are. */
const lowest = (mixed: bigint, powerOfTwo: number): number => Number(mixed & BigInt(powerOfTwo - 1))

/**
 * The entry of a flow by its hash; undefined when it has none. That of a SYN comes before that of an earlier
 * connection. Whether it still counts is not asked.
 */
export function findFlow({ maps }: Dataplane, hash: bigint, bucketKey: bigint): FlowEntry | undefined {
  const mixed = finish(hash ^ bucketKey)
  const tables: [OpenMap | undefined, BucketsOf][] = [
    [maps.half_open, halfOpenBuckets],
    [maps.flows, flowBuckets],
  ]
  for (const [map, bucketsOf] of tables) {
    if (map === undefined) continue
    for (const bucket of bucketsOf(mixed, map.info.maxEntries)) {
      const found = findInBucket(map.fd, bucket, hash)
      if (found !== undefined) return found
    }
  }
  return undefined
}

function findInBucket(fd: number, bucket: number, hash: bigint): FlowEntry | undefined {
  const [tag0, tag1] = [Number(hash & 0xffffffffn), Number(hash >> 32n)]
  const words = new Uint32Array(BUCKET_WORDS)
  lookupEntry(fd, encodeIndex(bucket), new Uint8Array(words.buffer))
  for (let at = 0; at < BUCKET_WORDS; at += WORDS) {
    if (words[at + 3]! >>> 8 === 0) continue
    if (tagLow(words, at) === tag0 && tagHigh(words, at) === tag1)
      return decodeFlow(words[at + 2]!, words[at + 3]!, ticksNow())
  }
  return undefined
}

type Entry = readonly [check0: number, check1: number, data0: number, data1: number]

function openTable(memory: ArrayBuffer, bucketsOf: (tag: bigint) => readonly number[]) {
  const words = new Uint32Array(memory)
  const doubles = new BigUint64Array(memory)

  /** The first that is empty, as the program chooses; undefined when the flow has an entry, or there is no room. */
  const findPlace = (tag0: number, tag1: number, buckets: readonly number[]): number | undefined => {
    let place: number | undefined
    for (const bucket of buckets) {
      for (let at = bucket * BUCKET_WORDS; at < (bucket + 1) * BUCKET_WORDS; at += WORDS) {
        if (words[at + 3]! >>> 8 !== 0) {
          if (tagLow(words, at) === tag0 && tagHigh(words, at) === tag1) return undefined
          continue
        }
        place ??= at
      }
    }
    return place
  }

  return {
    enter(entry: Entry): void {
      const [tag0, tag1] = [tagLow(entry, 0), tagHigh(entry, 0)]
      const place = findPlace(tag0, tag1, bucketsOf((BigInt(tag1) << 32n) | BigInt(tag0)))
      if (place === undefined) return
      // Each half in one store: a reader sees the entry, or one that matches no flow.
      doubles[place / 2 + 1] = (BigInt(entry[3]) << 32n) | BigInt(entry[2])
      doubles[place / 2] = (BigInt(entry[1]) << 32n) | BigInt(entry[0])
    },
  }
}

/**
 * check is tag ^ (data & FLOW_IDENTITY_MASK), which covers the upper half and the four highest bits of the
 * lower.
 */
const tagLow = (words: ArrayLike<number>, at: number): number =>
  (words[at]! ^ (words[at + 2]! & 0xf0000000)) >>> 0
const tagHigh = (words: ArrayLike<number>, at: number): number => (words[at + 1]! ^ words[at + 3]!) >>> 0

/** `finish` of bpf/hash.h. */
function finish(hash: bigint): bigint {
  let mixed = BigInt.asUintN(64, hash * 0xbf58476d1ce4e5b9n)
  mixed ^= mixed >> 29n
  mixed = BigInt.asUintN(64, mixed * 0x94d049bb133111ebn)
  return mixed ^ (mixed >> 32n)
}

function decodeFlow(data0: number, data1: number, now: number): FlowEntry {
  const stamp = (data0 >>> 4) & (2 ** STAMP_BITS - 1)
  // A stamp ahead of `now` was set by a CPU that saw the clock tick first.
  const idle = ((now - stamp) << (32 - STAMP_BITS)) >> (32 - STAMP_BITS)
  return {
    generation: data1 >>> 8,
    index: ((data1 & 0xff) << 4) | (data0 >>> 28),
    state: data0 & 0xf,
    idle: Math.max(0, idle),
  }
}

/** Of CLOCK_MONOTONIC, as `bpf_ktime_get_coarse_ns` counts. */
const ticksNow = (): number => Number(BigInt.asUintN(STAMP_BITS, process.hrtime.bigint() >> TICK_BITS))
