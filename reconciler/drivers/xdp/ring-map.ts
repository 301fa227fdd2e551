import { encodeIndex, structs } from './layout.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { createMapAside, freezeMap, MapFlag, MapType, updateEntryAside } from './libbpf/maps.ts'

/**
 * An inner map as the outer one's template has it, filled for good. `bytes` are read until it is there, on
 * another thread: for 160 KiB of fresh pages the kernel takes a millisecond.
 */
export async function createRingMap(bytes: Buffer): Promise<Descriptor> {
  const map = await createMapAside({
    type: MapType.array,
    name: 'ring',
    keySize: 4,
    valueSize: structs.ring.size,
    maxEntries: 1,
    flags: MapFlag.mmapable,
  })
  try {
    await updateEntryAside(map.fd, encodeIndex(0), bytes)
    freezeMap(map.fd)
    return map
  } catch (error) {
    map.close()
    throw error
  }
}
