import { createHash } from 'node:crypto'
import { readLinkedInterfaces } from './attachments.ts'
import { openDataplane } from './dataplane.ts'
import { readEntries } from './libbpf/maps.ts'
import { pinsChangedAt } from './libbpf/pins.ts'
import type { ObserveContext } from './observe.ts'

const TABLES = ['vips', 'services', 'port_ranges', 'rings', 'access_prefixes', 'quic_servers'] as const

/** Ids and small tables; no ring is read that is frozen. */
export async function fingerprintXdp({ pins, store, readObject }: ObserveContext): Promise<string> {
  using dataplane = openDataplane(pins)
  if (dataplane === undefined) return 'nothing'
  const hash = createHash('sha256')
  const attachments = readLinkedInterfaces(pins, dataplane).map(({ row }) => row)
  const { program, maps } = dataplane
  hash.update(JSON.stringify([program.id, pins.folders.map(pinsChangedAt), readObject(), attachments]))
  for (const name of TABLES) {
    const { keys, values, count } = await readEntries(maps[name].fd, maps[name].info)
    hash.update(`${name} ${count}`).update(keys).update(values)
    if (name !== 'rings') continue
    for (let i = 0; i < count; i++) hash.update(store.readLoose(values.readUInt32LE(4 * i)))
  }
  return hash.digest('hex')
}
