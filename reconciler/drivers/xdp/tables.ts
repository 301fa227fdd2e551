import { addressToBytes } from '../../../schemas/address.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import { type Breathe, createBreather } from '../../process/breather.ts'
import { createTextMemo } from '../../ring/text-memo.ts'
import { accessCodec } from './access-lists.ts'
import { changeMap } from './changed-map.ts'
import type { Dataplane, OpenMap } from './dataplane.ts'
import { createDecodeOnce } from './decode-once.ts'
import {
  decodeServiceKey,
  encodeBlankRing,
  encodeIndex,
  encodeServiceKey,
  readAddress,
  type ServiceKey,
  structs,
} from './layout.ts'
import { type Entries, isEmptyMap, readEntries } from './libbpf/maps.ts'
import { decodeLists, dropLists } from './lists.ts'
import { deleteKeys, writeEntries } from './map-entries.ts'
import { decodePortRanges, encodePortRanges } from './port-ranges.ts'
import { quicCodec } from './quic-lists.ts'
import { createRingMap } from './ring-map.ts'
import type { RingStore } from './ring-store.ts'
import { serviceRowKey } from './service-row-key.ts'

/** What `services`, `port_ranges`, `vips` and `rings` hold, and the lists that rings name. */
export interface Tables {
  readonly services: ReadonlyMap<RowKey, ServiceEntry>
  /** Keys in `services` that Ballast does not write. */
  readonly aliens: readonly Buffer[]
  /** How many services each VIP is said to have. */
  readonly vips: ReadonlyMap<string, number>
  /** Ids of inner maps by ring. */
  readonly rings: ReadonlyMap<number, number>
  /** Entries of port_ranges, by their keys in hex. */
  readonly ranges: ReadonlyMap<string, readonly [key: Buffer, value: Buffer]>
  readonly accessLists: ReadonlyMap<number, AccessPrefixes>
  readonly serverIds: ReadonlyMap<number, ServerIds>
}

type AccessPrefixes = ReturnType<typeof accessCodec.decode>
type ServerIds = ReturnType<typeof quicCodec.decode>

export interface ServiceEntry {
  readonly key: ServiceKey
  /** The index into rings. */
  readonly id: number
}

const SMALL_MAPS = ['vips', 'services', 'port_ranges', 'rings', 'access_prefixes'] as const

/** The small maps as they are. */
export type RawTables = Readonly<Record<(typeof SMALL_MAPS)[number] | 'quic_servers', Entries>>

const NOTHING: Entries = { count: 0, keys: Buffer.alloc(0), values: Buffer.alloc(0) }

/** Who reads rings, in slices. */
export interface RingReader {
  readonly store: Pick<RingStore, 'read' | 'isKnown' | 'hasServerIds'>
  readonly breathe: Breathe
}

/**
 * With a reader of rings, the server ids are only read when a ring names some, since their map has 131,072 buckets to walk
 * through however few there are: those that no ring names move no packet.
 */
export async function readRaw(
  { maps }: Pick<Dataplane, 'maps'>,
  reader: RingReader | null,
): Promise<RawTables> {
  const read = ({ fd, info }: OpenMap): Promise<Entries> => readEntries(fd, info)
  // Whether it is empty is known without another thread.
  const readSome = async (map: OpenMap) => (isEmptyMap(map.fd, map.info) ? NOTHING : read(map))
  const found = await Promise.all(SMALL_MAPS.map(async name => [name, await readSome(maps[name])] as const))
  const small = Object.fromEntries(found) as Omit<RawTables, 'quic_servers'>
  const isNamed = reader === null || (await mayNameServerIds(small.rings, reader))
  return { ...small, quic_servers: isNamed ? await read(maps.quic_servers) : NOTHING }
}

/** Rings that were not read before, and are for this; of more of them, who knows. */
const RINGS_READ = 8

async function mayNameServerIds(
  { count, values }: Entries,
  { store, breathe }: RingReader,
): Promise<boolean> {
  const unknown: number[] = []
  for (let i = 0; i < count; i++) {
    const mapId = values.readUInt32LE(4 * i)
    if (!store.isKnown(mapId)) unknown.push(mapId)
  }
  if (unknown.length > RINGS_READ || store.hasServerIds()) return true
  for (const mapId of unknown) {
    await breathe()
    const ring = store.read(mapId)
    if (typeof ring === 'object' && ring.quic !== undefined) return true
  }
  return false
}

interface Readers {
  readonly reader?: RingReader | null
  readonly breathe?: Breathe
}

/** All of them, or with a reader of rings as `readRaw` has it. */
export const readTables = async (
  dataplane: Pick<Dataplane, 'maps'>,
  { reader = null, breathe = createBreather() }: Readers = {},
): Promise<Tables> => decodeTables(dataplane, await readRaw(dataplane, reader), breathe)

export async function decodeTables(
  { maps }: Pick<Dataplane, 'maps'>,
  raw: RawTables,
  breathe: Breathe,
): Promise<Tables> {
  const ported = await portedOnce(maps.services.info.id, raw.services, () =>
    decodeServices(raw.services, breathe),
  )
  const ranged = rangedOnce(maps.port_ranges.info.id, raw.port_ranges, () => decodeRanges(raw.port_ranges))
  await breathe()
  return {
    services: joinOnce(ported.entries, ranged.entries),
    aliens: ported.aliens,
    vips: await vipsOnce(maps.vips.info.id, raw.vips, () => decodeVips(raw.vips, breathe)),
    rings: decodeRings(maps.rings.info.id, raw.rings),
    ranges: ranged.ranges,
    accessLists: decodeLists(maps, accessCodec, raw.access_prefixes),
    serverIds: decodeLists(maps, quicCodec, raw.quic_servers),
  }
}

type ServiceEntries = Tables['services']

interface Ported {
  readonly entries: ServiceEntries
  readonly aliens: readonly Buffer[]
}

interface Ranged {
  readonly entries: ServiceEntries
  readonly ranges: Tables['ranges']
}

const portedOnce = createDecodeOnce<Promise<Ported>>()
const rangedOnce = createDecodeOnce<Ranged>()
const vipsOnce = createDecodeOnce<Promise<Tables['vips']>>()

/** In slices: to read a thousand keys for the first time takes ten milliseconds. */
async function decodeServices(services: Entries, breathe: Breathe): Promise<Ported> {
  const entries = new Map<RowKey, ServiceEntry>()
  const aliens: Buffer[] = []
  for (const [bytes, value] of eachEntry(services, structs.service_key.size)) {
    await breathe()
    const known = readServiceKey(bytes)
    if (known === null) aliens.push(bytes)
    else entries.set(known.rowKey, { key: known.key, id: value })
  }
  return { entries, aliens }
}

function decodeRanges(portRanges: Entries): Ranged {
  const entries = new Map<RowKey, ServiceEntry>()
  const ranges = readRanges(portRanges)
  for (const [key, value] of ranges.values()) {
    for (const entry of decodePortRanges(key, value) ?? []) entries.set(serviceRowKey(entry.key), entry)
  }
  return { entries, ranges }
}

const joined = new WeakMap<
  ServiceEntries,
  { readonly ranged: ServiceEntries; readonly all: ServiceEntries }
>()

/** The same for the same. */
function joinOnce(ported: ServiceEntries, ranged: ServiceEntries): ServiceEntries {
  if (ranged.size === 0) return ported
  const known = joined.get(ported)
  if (known?.ranged === ranged) return known.all
  const all = new Map([...ported, ...ranged])
  joined.set(ported, { ranged, all })
  return all
}

async function decodeVips(vips: Entries, breathe: Breathe): Promise<Tables['vips']> {
  const counts = new Map<string, number>()
  for (const [vip, count] of eachEntry(vips, 16)) {
    await breathe()
    counts.set(readAddress(vip, 0), count)
  }
  return counts
}

interface DecodedRings {
  readonly entries: Entries
  readonly rings: Tables['rings']
}

/** The last ones by the map that they are of. */
const decodedRings = new Map<number, DecodedRings>()
const RINGS_KEPT = 16

/** The same for the same, and made of the last ones where the same services have other rings. */
function decodeRings(mapId: number, entries: Entries): Tables['rings'] {
  const last = decodedRings.get(mapId)
  const rings = last?.entries.keys.equals(entries.keys)
    ? changeMap(last.rings, otherRings(last.entries, entries))
    : new Map(eachRing(entries))
  if (last === undefined && decodedRings.size >= RINGS_KEPT) decodedRings.clear()
  decodedRings.set(mapId, { entries, rings })
  return rings
}

function* eachRing({ count, keys, values }: Entries): Generator<[id: number, mapId: number]> {
  for (let i = 0; i < count; i++) yield [keys.readUInt32LE(4 * i), values.readUInt32LE(4 * i)]
}

function otherRings(before: Entries, after: Entries): [id: number, mapId: number][] {
  const others: [number, number][] = []
  if (before.values.equals(after.values)) return others
  for (let i = 0; i < after.count; i++) {
    const mapId = after.values.readUInt32LE(4 * i)
    if (mapId !== before.values.readUInt32LE(4 * i)) others.push([after.keys.readUInt32LE(4 * i), mapId])
  }
  return others
}

function readRanges({ count, keys, values }: Entries): Tables['ranges'] {
  const [keySize, valueSize] = [structs.service_key.size, structs.port_ranges.size]
  return new Map(
    Array.from({ length: count }, (_, i) => {
      const key = keys.subarray(i * keySize, (i + 1) * keySize)
      return [key.toString('hex'), [key, values.subarray(i * valueSize, (i + 1) * valueSize)]]
    }),
  )
}

/** The numbers of the lists that the rings of these services name. */
export function namedLists(
  services: Iterable<ServiceEntry>,
  { rings }: Pick<Tables, 'rings'>,
  store: Pick<RingStore, 'read'>,
): { access: ReadonlySet<number>; quic: ReadonlySet<number> } {
  const access = new Set<number>()
  const quic = new Set<number>()
  for (const { id } of services) {
    const mapId = rings.get(id)
    const ring = mapId === undefined ? 'unreadable' : store.read(mapId)
    if (typeof ring !== 'object') continue
    if (ring.access !== undefined) access.add(ring.access.list)
    if (ring.quic !== undefined) quic.add(ring.quic.list)
  }
  return { access, quic }
}

interface ServiceSummary {
  /** Ids of rings that they have. */
  readonly used: ReadonlySet<number>
  /** How many services each VIP has. */
  readonly counts: ReadonlyMap<string, number>
  readonly hasRanges: boolean
}

const summaries = new WeakMap<ServiceEntries, ServiceSummary>()

/** Made once for the same services. */
export function summariseServices(services: ServiceEntries): ServiceSummary {
  const known = summaries.get(services)
  if (known !== undefined) return known
  const entries = [...services.values()]
  const summary = {
    used: new Set(entries.map(({ id }) => id)),
    counts: countVips(entries),
    hasRanges: entries.some(({ key }) => key.endPort !== undefined),
  }
  summaries.set(services, summary)
  return summary
}

/** How many services each VIP has. */
export function countVips(services: Iterable<ServiceEntry>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { key } of services) counts.set(key.vip, (counts.get(key.vip) ?? 0) + 1)
  return counts
}

interface SettledContext {
  readonly dataplane: Pick<Dataplane, 'maps'>
  readonly store: Pick<RingStore, 'read'>
  readonly breathe: Breathe
}

/**
 * Takes services away, and with them whatever belongs to none: VIPs first, rings last, so that a packet meets
 * what is there whole or not at all. Whatever was left by a process that was killed goes too. Of VIPs that are
 * wanted, only those of services that are `put` or gone are counted anew: of another one that somebody took
 * away, nobody has been told yet.
 */
export async function settleTables(
  { dataplane: { maps }, store, breathe }: SettledContext,
  tables: Tables,
  { put, gone }: { put: ReadonlySet<RowKey>; gone: ReadonlySet<RowKey> },
): Promise<void> {
  const touched = new Set<string>()
  for (const rowKeys of [put, gone]) {
    for (const rowKey of rowKeys) {
      await breathe()
      const entry = tables.services.get(rowKey)
      if (entry !== undefined) touched.add(entry.key.vip)
    }
  }
  const staying =
    gone.size === 0 ? tables.services : new Map([...tables.services].filter(([rowKey]) => !gone.has(rowKey)))
  await breathe()
  const { used, counts, hasRanges } = summariseServices(staying)
  await writeEntries(
    maps.vips,
    touched.values().flatMap(vip => {
      const count = counts.get(vip)
      if (count === undefined || tables.vips.get(vip) === count) return []
      return [[addressToBytes(vip), encodeIndex(count)] as const]
    }),
  )
  await deleteKeys(maps.vips, [...tables.vips.keys()].filter(vip => !counts.has(vip)).map(addressToBytes))

  const goneKeys = [...gone].flatMap(rowKey => {
    const key = tables.services.get(rowKey)?.key
    return key === undefined || key.endPort !== undefined ? [] : [key]
  })
  await deleteKeys(maps.services, [...goneKeys.map(encodeServiceKey), ...tables.aliens])
  if (hasRanges || tables.ranges.size > 0)
    await settleRanges(maps.port_ranges, tables.ranges, staying.values())

  await blankRings(maps.rings, findOrphanRings(tables, used, store))
  // To know what is named, every ring has to be read.
  if (tables.accessLists.size + tables.serverIds.size === 0) return
  const named = namedLists(staying.values(), tables, store)
  if (tables.accessLists.size > 0) await dropLists(maps, accessCodec, named.access)
  if (tables.serverIds.size > 0) await dropLists(maps, quicCodec, named.quic)
}

async function settleRanges(
  map: OpenMap,
  present: Tables['ranges'],
  staying: Iterable<ServiceEntry>,
): Promise<void> {
  const wanted = encodePortRanges(staying)
  await writeEntries(
    map,
    [...wanted]
      .filter(([name, [, value]]) => !present.get(name)?.[1].equals(value))
      .map(([, entry]) => entry),
  )
  await deleteKeys(
    map,
    [...present].filter(([name]) => !wanted.has(name)).map(([, [key]]) => key),
  )
}

/** Rings that belong to none of the services, by id. */
export function findOrphanRings(
  tables: Tables,
  usedIds: ReadonlySet<number>,
  store: Pick<RingStore, 'read'>,
): number[] {
  const orphans: number[] = []
  tables.rings.forEach((mapId, id) => {
    if (!usedIds.has(id) && store.read(mapId) !== 'blank') orphans.push(id)
  })
  return orphans
}

/**
 * One blank ring in the place of many: an array of maps waits for its readers at each deletion, but once for
 * a whole batch of updates. It also means that no packet still has the number of a service that is gone when
 * this returns.
 */
async function blankRings(rings: OpenMap, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return
  using blank = await createRingMap(encodeBlankRing())
  await writeEntries(
    rings,
    ids.map(id => [encodeIndex(id), encodeIndex(blank.fd)]),
  )
}

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
const knownKey = createTextMemo(2 ** 16, (text): KnownKey | null => {
  const key = decodeServiceKey(Buffer.from(text, 'latin1'))
  return key === undefined ? null : { key, rowKey: serviceRowKey(key) }
})

const readServiceKey = (bytes: Buffer): KnownKey | null => knownKey(bytes.toString('latin1'))
