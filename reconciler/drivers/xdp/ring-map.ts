import { encodeIndex, structs } from './layout.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { createMap, freezeMap, MapFlag, MapType, updateEntry } from './libbpf/maps.ts'

/** An inner map as the outer one's template has it, filled for good. */
export function createRingMap(bytes: Buffer): Descriptor {
  const map = createMap({
    type: MapType.array,
    name: 'ring',
    keySize: 4,
    valueSize: structs.ring.size,
    maxEntries: 1,
    flags: MapFlag.mmapable,
  })
  try {
    updateEntry(map.fd, encodeIndex(0), bytes)
    freezeMap(map.fd)
    return map
  } catch (error) {
    map.close()
    throw error
  }
}
