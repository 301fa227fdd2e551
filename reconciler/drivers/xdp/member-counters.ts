import type { Breathe } from './breather.ts'
import type { OpenMap } from './dataplane.ts'
import { encodeIndex, encodeIndexes, structs } from './layout.ts'
import { countPossibleCpus } from './libbpf/features.ts'
import { lookupEntry, updateEntries } from './libbpf/maps.ts'

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

/** The same of every CPU. */
export function readCpuCounters({ fd, info }: OpenMap, index: number): number[][] {
  const value = Buffer.alloc(valueBytes(info.valueSize))
  lookupEntry(fd, encodeIndex(index), value)
  return Array.from({ length: value.length / info.valueSize }, (_, cpu) =>
    Array.from({ length: info.valueSize / 8 }, (_, field) =>
      Number(value.readBigUInt64LE(cpu * info.valueSize + 8 * field)),
    ),
  )
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
