import { createHash } from 'node:crypto'
import { readLinkedInterfaces } from './attachments.ts'
import { type Dataplane, openDataplane } from './dataplane.ts'
import { pinsChangedAt } from './libbpf/pins.ts'
import type { ObserveContext } from './observe.ts'
import { type RawTables, readRaw } from './tables.ts'

const TABLES = ['vips', 'services', 'port_ranges', 'rings', 'access_prefixes', 'quic_servers'] as const

/** Ids and small tables; no ring is read that is frozen. */
export async function fingerprintXdp(context: ObserveContext): Promise<string> {
  await context.breathe()
  using dataplane = openDataplane(context.pins)
  if (dataplane === undefined) return NO_DATAPLANE
  return fingerprintTables(context, dataplane, await readRaw(dataplane, context))
}

export const NO_DATAPLANE = 'nothing'

/** Of what was read. */
export async function fingerprintTables(
  { pins, store, readObject, breathe }: ObserveContext,
  dataplane: Dataplane,
  raw: RawTables,
): Promise<string> {
  const hash = createHash('sha256')
  const attachments = readLinkedInterfaces(pins, dataplane).map(({ row }) => row)
  const { program } = dataplane
  hash.update(JSON.stringify([program.id, pins.folders.map(pinsChangedAt), readObject(), attachments]))
  for (const name of TABLES) {
    const { keys, values, count } = raw[name]
    hash.update(`${name} ${count}`).update(keys).update(values)
    if (name !== 'rings') continue
    for (let i = 0; i < count; i++) {
      const mapId = values.readUInt32LE(4 * i)
      if (store.isFinal(mapId)) continue
      await breathe()
      hash.update(store.readLoose(mapId))
    }
  }
  return hash.digest('hex')
}
