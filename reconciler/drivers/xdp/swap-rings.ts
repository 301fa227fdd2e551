import { setTimeout as delay, setImmediate } from 'node:timers/promises'
import type { OpenMap } from './dataplane.ts'
import { encodeIndex } from './layout.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { readMapInfo } from './libbpf/info.ts'
import { lookupEntry } from './libbpf/maps.ts'
import { writeEntries } from './map-entries.ts'

export interface Swap {
  /** The index into rings. */
  readonly id: number
  readonly map: Descriptor
}

/** Of more of them, to look whether they are there takes as long as the readers. */
const LOOKED_FOR = 16
/** The other thread takes the kernel's way in less than it takes a timer to fire; then it may be that it has no CPU. */
const LOOKS_AT_ONCE = 100
const LOOK_AGAIN_MS = 1

/**
 * Puts rings in their places, all by one call. The kernel swaps them at once and then keeps the caller until no packet is
 * on its way that has seen an old one, 8 to 24 ms. With `waitsForReaders` this ends only then: what an old ring alone
 * names may be given to others. Else nobody needs that, and for a few it ends when the new ones are there to be read.
 */
export async function swapRings(
  rings: OpenMap,
  swaps: readonly Swap[],
  waitsForReaders: boolean,
): Promise<void> {
  if (swaps.length === 0) return
  const written = writeEntries(
    rings,
    swaps.values().map(({ id, map }) => [encodeIndex(id), encodeIndex(map.fd)]),
  )
  if (waitsForReaders || swaps.length > LOOKED_FOR) return written
  const seen = waitUntilRead(rings, swaps)
  await Promise.race([written, seen.done]).finally(seen.stop)
}

function waitUntilRead(rings: OpenMap, swaps: readonly Swap[]) {
  let stopped = false
  const waiting = swaps.map(({ id, map }) => ({ id, mapId: readMapInfo(map.fd).id }))
  const look = async (): Promise<void> => {
    for (let looks = 0; !stopped; looks++) {
      if (looks < LOOKS_AT_ONCE) await setImmediate()
      else await delay(LOOK_AGAIN_MS)
      // Who was swapped in stays: the last one is looked at until it is there, then those before it.
      while (waiting.length > 0 && isThere(rings, waiting.at(-1)!)) waiting.pop()
      if (waiting.length === 0) return
    }
  }
  return {
    done: look(),
    stop: () => {
      stopped = true
    },
  }
}

function isThere({ fd }: OpenMap, { id, mapId }: { id: number; mapId: number }): boolean {
  const value = Buffer.alloc(4)
  return lookupEntry(fd, encodeIndex(id), value) && value.readUInt32LE() === mapId
}
