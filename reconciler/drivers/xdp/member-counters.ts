import type { Breathe } from '../../process/breather.ts'
import type { OpenMap } from './dataplane.ts'
import { encodeIndex, encodeIndexes, structs } from './layout.ts'
import { countPossibleCpus } from './libbpf/features.ts'
import { lookupEntry, readChunks, readFew, updateEntries } from './libbpf/maps.ts'

/** Per-CPU values are large on a large machine; that many at a time. */
const CHUNK = 1024

/**
 * The `__u64` fields of a per-CPU value, each summed over all CPUs; undefined when there is no such entry.
 */
export function readCounters({ fd, info }: OpenMap, index: number): number[] | undefined {
  const value = Buffer.alloc(valueBytes(info.valueSize))
  if (!lookupEntry(fd, encodeIndex(index), value)) return undefined
  const sums = Array<number>(info.valueSize / 8).fill(0)
  for (let at = 0; at < value.length; at += 8) {
    sums[(at % info.valueSize) / 8]! += Number(value.readBigUInt64LE(at))
  }
  return sums
}

/** Of every entry of a small map what each CPU counted: entry, CPU, field. */
export function readCpuCounters({ fd, info }: OpenMap): number[][][] {
  const bytes = valueBytes(info.valueSize)
  const { count, values } = readFew(fd, info, bytes)
  return Array.from({ length: count }, (_, entry) =>
    Array.from({ length: bytes / info.valueSize }, (_, cpu) =>
      Array.from({ length: info.valueSize / 8 }, (_, field) =>
        Number(values.readBigUInt64LE(entry * bytes + cpu * info.valueSize + 8 * field)),
      ),
    ),
  )
}

export interface ReadCounters {
  readonly fields: number
  /** Of entry after entry. */
  readonly sums: Float64Array
}

const HIGH = 2 ** 32

/** What `readCounters` gives of entries 0 to `last`, in a few calls. */
export async function readManyCounters(
  { fd, info }: OpenMap,
  last: number,
  breathe: Breathe,
): Promise<ReadCounters> {
  const fields = info.valueSize / 8
  // The number may be one that somebody else wrote into a ring.
  const sums = new Float64Array(fields * Math.min(last + 1, info.maxEntries))
  const bytes = valueBytes(info.valueSize)
  for await (const { count, keys, values } of readChunks(fd, info, bytes)) {
    await breathe()
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length / 4)
    const wordsEach = bytes / 4
    let isPast = false
    for (let entry = 0; entry < count; entry++) {
      const index = keys.readUInt32LE(4 * entry)
      if (index > last) {
        isPast = true
        continue
      }
      for (let word = 0; word < wordsEach; word += 2) {
        const at = entry * wordsEach + word
        sums[index * fields + ((word / 2) % fields)]! += words[at]! + HIGH * words[at + 1]!
      }
    }
    // The kernel gives an array in its order.
    if (isPast) break
  }
  return { fields, sums }
}

export async function zeroCounters({ fd, info }: OpenMap, counters: readonly number[]): Promise<void> {
  for (let from = 0; from < counters.length; from += CHUNK) {
    const keys = encodeIndexes(counters.slice(from, from + CHUNK))
    const count = keys.length / 4
    await updateEntries(fd, info, { count, keys, values: Buffer.alloc(valueBytes(info.valueSize) * count) })
  }
}

/** `counters[n]` of one map becomes counter n of the other. */
export async function copyCounters(
  from: OpenMap,
  to: OpenMap,
  { counters, breathe }: { counters: readonly number[]; breathe: Breathe },
): Promise<void> {
  const bytes = valueBytes(structs.member_counters.size)
  for (let first = 0; first < counters.length; first += CHUNK) {
    await breathe()
    const chunk = counters.slice(first, first + CHUNK)
    const values = Buffer.alloc(bytes * chunk.length)
    for (const [place, counter] of chunk.entries()) {
      lookupEntry(from.fd, encodeIndex(counter), values.subarray(place * bytes, (place + 1) * bytes))
    }
    const keys = encodeIndexes(chunk.map((_, place) => first + place))
    await updateEntries(to.fd, to.info, { count: chunk.length, keys, values })
  }
}

const valueBytes = (size: number): number => size * countPossibleCpus()
