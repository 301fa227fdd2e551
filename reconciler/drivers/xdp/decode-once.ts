import type { Entries } from './libbpf/maps.ts'

/**
 * Tables are read at every look and seldom differ from the last: entries with the same bytes are decoded once, and give the
 * same object. `mapId` says whose they are.
 */
export type DecodeOnce<Result> = (mapId: number, entries: Entries, decode: () => Result) => Result

/** Of the last maps that were asked for. */
const KEPT = 16

export function createDecodeOnce<Result>(): DecodeOnce<Result> {
  const last = new Map<number, { readonly entries: Entries; readonly result: Result }>()
  return (mapId, entries, decode) => {
    const known = last.get(mapId)
    if (known !== undefined && isSame(known.entries, entries)) return known.result
    const result = decode()
    last.delete(mapId)
    last.set(mapId, { entries, result })
    if (last.size > KEPT) last.delete(last.keys().next().value!)
    return result
  }
}

const isSame = (one: Entries, other: Entries): boolean =>
  one.count === other.count && one.keys.equals(other.keys) && one.values.equals(other.values)
