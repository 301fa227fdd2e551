import { compareRings, type RingComparison } from './compare-rings.ts'
import type { RingBackend } from './maglev.ts'

type Backends = readonly RingBackend[]

/**
 * `compareRings` that remembers the comparisons used last: services of one pool have the same backends before and after. What it
 * gives is shared.
 */
export function createRingComparer(
  maxEntries: number,
): (before: Backends, after: Backends) => RingComparison {
  const known = new Map<string, RingComparison>()
  return (before, after) => {
    const key = `${textOf(before)} ${textOf(after)}`
    const comparison = known.get(key) ?? compareRings(before, after)
    known.delete(key)
    known.set(key, comparison)
    if (known.size > maxEntries) known.delete(known.keys().next().value!)
    return comparison
  }
}

const textOf = (backends: Backends): string =>
  backends.map(({ address, weight }) => `${address}=${weight}`).join()
