import { addressToBytes, serviceId } from '../../../schemas/address.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { Dataplane, OpenMap } from './dataplane.ts'
import {
  decodeServiceKey,
  encodeBlankRing,
  encodeIndex,
  encodeServiceKey,
  readAddress,
  type ServiceKey,
  structs,
} from './layout.ts'
import { deleteEntries, type Entries, readEntries, updateEntries } from './libbpf/maps.ts'
import { createRingMap } from './ring-map.ts'
import type { RingStore } from './ring-store.ts'

/** What `services`, `vips` and `rings` hold. */
export interface Tables {
  readonly services: ReadonlyMap<RowKey, ServiceEntry>
  /** Keys in `services` that Ballast does not write. */
  readonly aliens: readonly Buffer[]
  /** How many services each VIP is said to have. */
  readonly vips: ReadonlyMap<string, number>
  /** Ids of inner maps by ring. */
  readonly rings: ReadonlyMap<number, number>
}

export interface ServiceEntry {
  readonly key: ServiceKey
  /** The index into rings. */
  readonly id: number
}

export const serviceRowKey = ({ vip, port, protocol }: ServiceKey): RowKey =>
  `service/${serviceId(vip, port, protocol)}`

export async function readTables({ maps }: Dataplane): Promise<Tables> {
  const [services, vips, rings] = await Promise.all(
    [maps.services, maps.vips, maps.rings].map(({ fd, info }) => readEntries(fd, info)),
  )
  const entries = new Map<RowKey, ServiceEntry>()
  const aliens: Buffer[] = []
  for (const [bytes, value] of eachEntry(services!, structs.service_key.size)) {
    const known = readServiceKey(bytes)
    if (known === undefined) aliens.push(bytes)
    else entries.set(known.rowKey, { key: known.key, id: value })
  }
  const counts = [...eachEntry(vips!, 16)].map(([vip, count]) => [readAddress(vip, 0), count] as const)
  const ids = [...eachEntry(rings!, 4)].map(([id, mapId]) => [id.readUInt32LE(), mapId] as const)
  return { services: entries, aliens, vips: new Map(counts), rings: new Map(ids) }
}

/** How many services each VIP has. */
export function countVips(services: Iterable<ServiceEntry>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { key } of services) counts.set(key.vip, (counts.get(key.vip) ?? 0) + 1)
  return counts
}

/**
 * Takes services away, and with them whatever belongs to none: VIPs first, rings last, so that a packet meets
 * what is there whole or not at all. Whatever was left by a process that was killed goes too.
 */
export async function settleTables(
  { dataplane: { maps }, store }: { dataplane: Pick<Dataplane, 'maps'>; store: Pick<RingStore, 'read'> },
  tables: Tables,
  gone: ReadonlySet<RowKey>,
): Promise<void> {
  const staying = [...tables.services].filter(([rowKey]) => !gone.has(rowKey)).map(([, entry]) => entry)
  const counts = countVips(staying)
  const wrong = [...counts].filter(([vip, count]) => tables.vips.get(vip) !== count)
  await writeEntries(
    maps.vips,
    wrong.map(([vip, count]) => [addressToBytes(vip), encodeIndex(count)]),
  )
  await deleteKeys(maps.vips, [...tables.vips.keys()].filter(vip => !counts.has(vip)).map(addressToBytes))

  const goneKeys = [...tables.services].filter(([rowKey]) => gone.has(rowKey)).map(([, { key }]) => key)
  await deleteKeys(maps.services, [...goneKeys.map(encodeServiceKey), ...tables.aliens])

  const used = new Set(staying.map(({ id }) => id))
  await blankRings(
    maps.rings,
    findOrphanRings(tables, used, store).map(([id]) => id),
  )
}

/** Rings that belong to none of the services, by id and map. */
export const findOrphanRings = (
  tables: Tables,
  usedIds: ReadonlySet<number>,
  store: Pick<RingStore, 'read'>,
): [id: number, mapId: number][] =>
  [...tables.rings].filter(([id, mapId]) => !usedIds.has(id) && store.read(mapId) !== 'blank')

/**
 * One blank ring in the place of many: an array of maps waits for its readers at each deletion, but once for
 * a whole batch of updates. It also means that no packet still has the number of a service that is gone when
 * this returns.
 */
async function blankRings(rings: OpenMap, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return
  using blank = createRingMap(encodeBlankRing())
  await writeEntries(
    rings,
    ids.map(id => [encodeIndex(id), encodeIndex(blank.fd)]),
  )
}

export async function writeEntries(
  { fd, info }: OpenMap,
  entries: readonly (readonly [key: Uint8Array, value: Uint8Array])[],
): Promise<void> {
  await updateEntries(fd, info, {
    count: entries.length,
    keys: Buffer.concat(entries.map(([key]) => key)),
    values: Buffer.concat(entries.map(([, value]) => value)),
  })
}

const deleteKeys = ({ fd, info }: OpenMap, keys: readonly Uint8Array[]): Promise<void> =>
  deleteEntries(fd, info, keys)

/** Entries whose value is one `__u32`. */
function* eachEntry({ count, keys, values }: Entries, keySize: number): Generator<[Buffer, number]> {
  for (let i = 0; i < count; i++) {
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.readUInt32LE(4 * i)]
  }
}

interface KnownKey {
  readonly key: ServiceKey
  readonly rowKey: RowKey
}

/** To read the same thousand keys at every look takes longer than all the rest. */
const knownKeys = new Map<string, KnownKey | undefined>()
const KEYS_KEPT = 65536

function readServiceKey(bytes: Buffer): KnownKey | undefined {
  const text = bytes.toString('latin1')
  if (!knownKeys.has(text)) {
    if (knownKeys.size >= KEYS_KEPT) knownKeys.clear()
    const key = decodeServiceKey(bytes)
    knownKeys.set(text, key && { key, rowKey: serviceRowKey(key) })
  }
  return knownKeys.get(text)
}
