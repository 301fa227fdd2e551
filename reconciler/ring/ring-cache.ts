import { buildRing, type RingBackend } from './maglev.ts'

export type BuildRing = (backends: readonly RingBackend[]) => Uint16Array

/**
 * `buildRing` that remembers the rings used last, so that services with the same backends (a shared pool)
 * compute one. What it gives is shared: never write to it.
 */
export function createRingCache(maxEntries: number): BuildRing {
  const rings = new Map<string, Uint16Array>()
  return backends => {
    const key = backends.map(({ address, weight }) => `${address} ${weight}`).join()
    const slots = rings.get(key) ?? buildRing(backends)
    rings.delete(key)
    rings.set(key, slots)
    for (const oldest of rings.keys()) {
      if (rings.size <= maxEntries) break
      rings.delete(oldest)
    }
    return slots
  }
}
