import { Descriptor } from './descriptor.ts'
import { bpfFault, checked, ENOENT, ENOTSUPP, EOPNOTSUPP } from './errno.ts'
import type { MapInfo } from './info.ts'
import { callAside, loadLibbpf } from './native.ts'

export const MapType = { hash: 1, array: 2, percpuArray: 6, arrayOfMaps: 12 } as const
export const MapFlag = { mmapable: 1 << 10 } as const

/** A hash is read by whole buckets: room for one that is longer than what should be left. */
const BUCKET_ROOM = 64
/** Entries read at a time: most maps have room for far more than is in them, and megabytes at each look keep the garbage collector busy. */
const FIRST_CHUNK = 256
const READ_CHUNK = 16_384
/** How many there were at the last look, by the map's id: so that the next one is a single call. */
const entriesSeen = new Map<number, number>()
const MAPS_SEEN_KEPT = 256
/** Values of per-CPU maps are large on a large machine. */
const READ_BYTES = 4 * 2 ** 20
/** What the kernel reads in a fraction of a millisecond is read here: to hand it to another thread and back takes longer. */
const READ_HERE_ENTRIES = 4096
const READ_HERE_BYTES = 2 ** 17

/**
 * All entries of a map, packed; values of per-CPU maps as one value per possible CPU, each a multiple of 8
 * bytes.
 */
export interface Entries {
  readonly count: number
  readonly keys: Buffer
  readonly values: Buffer
}

/** A map without BTF, for instance an inner map. */
export function createMap(shape: Omit<MapInfo, 'id'>): Descriptor {
  const fd = loadLibbpf().bpf_map_create(...argumentsOf(shape))
  return new Descriptor(checked(`making map ${shape.name}`, fd))
}

/** The same, on another thread: large ones take the kernel a while. */
export async function createMapAside(shape: Omit<MapInfo, 'id'>): Promise<Descriptor> {
  const fd = await callAside<number>(loadLibbpf().bpf_map_create, ...argumentsOf(shape))
  return new Descriptor(checked(`making map ${shape.name}`, fd))
}

function argumentsOf({ type, name, keySize, valueSize, maxEntries, flags }: Omit<MapInfo, 'id'>) {
  const opts = Buffer.alloc(48)
  opts.writeBigUInt64LE(48n, 0)
  opts.writeUInt32LE(flags, 28)
  return [type, name, keySize, valueSize, maxEntries, opts] as const
}

/** Reads one entry into `value`; false when there is none. */
export function lookupEntry(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  return found('reading a map entry', loadLibbpf().bpf_map_lookup_elem(fd, key, value))
}

/** Makes or replaces one entry. On a map of maps it waits for readers: use `updateEntries` there. */
export function updateEntry(fd: number, key: Uint8Array, value: Uint8Array): void {
  checked('writing a map entry', loadLibbpf().bpf_map_update_elem(fd, key, value, 0))
}

/** As `updateEntry`, on another thread; neither key nor value may be written to until it is done. */
export async function updateEntryAside(fd: number, key: Uint8Array, value: Uint8Array): Promise<void> {
  checked('writing a map entry', await callAside(loadLibbpf().bpf_map_update_elem, fd, key, value, 0))
}

/** False when there was none. On a map of maps it waits for readers: use `deleteEntries` there. */
export function deleteEntry(fd: number, key: Uint8Array): boolean {
  return found('deleting a map entry', loadLibbpf().bpf_map_delete_elem(fd, key))
}

/** From now on nobody in user space can write the map. */
export const freezeMap = (fd: number): void => {
  checked('freezing a map', loadLibbpf().bpf_map_freeze(fd))
}

export const isEmptyMap = (fd: number, { name, keySize }: MapInfo): boolean =>
  !found(`reading ${name}`, loadLibbpf().bpf_map_get_next_key(fd, null, Buffer.alloc(keySize)))

/** Every entry that there is; of a map of maps the ids of the inner maps. */
export async function readEntries(fd: number, map: MapInfo, valueBytes = map.valueSize): Promise<Entries> {
  const chunks: Entries[] = []
  for await (const chunk of readChunks(fd, map, valueBytes)) chunks.push(chunk)
  return joinChunks(chunks)
}

/** The same, as much at a time as one call reads. */
export async function* readChunks(
  fd: number,
  map: MapInfo,
  valueBytes = map.valueSize,
): AsyncGenerator<Entries> {
  const fits = Math.ceil(READ_BYTES / (map.keySize + valueBytes))
  let cursor: Buffer | null = null
  let total = 0
  for (let chunk = Math.max(FIRST_CHUNK, entriesSeen.get(map.id) ?? 0); ; chunk *= 4) {
    const batch = makeBatch(map, valueBytes, Math.min(map.maxEntries, chunk, READ_CHUNK, fits))
    const call = loadLibbpf().bpf_map_lookup_batch
    const result = isReadHere(map, batch)
      ? call(fd, cursor, ...batch.rest)
      : await callAside(call, fd, cursor, ...batch.rest)
    if (isUnsupported(result)) {
      yield readOneByOne(fd, map, valueBytes)
      return
    }
    const entries = batch.read(result)
    const read = entries.count
    yield entries
    total += read
    if (result === -ENOENT) {
      if (entriesSeen.size >= MAPS_SEEN_KEPT) entriesSeen.clear()
      entriesSeen.set(map.id, total)
      return
    }
    cursor = batch.next
  }
}

/** As `readEntries`, in one call here and now: of a map of a few entries. */
export function readFew(fd: number, map: MapInfo, valueBytes = map.valueSize): Entries {
  const batch = makeBatch(map, valueBytes, map.maxEntries)
  const result = loadLibbpf().bpf_map_lookup_batch(fd, null, ...batch.rest)
  return isUnsupported(result) ? readOneByOne(fd, map, valueBytes) : batch.read(result)
}

/** Room for so many entries, and what is asked of the kernel to fill it. */
function makeBatch(map: MapInfo, valueBytes: number, entries: number) {
  const room = entries + BUCKET_ROOM
  const next = Buffer.alloc(Math.max(map.keySize, 8))
  const count = Buffer.alloc(4)
  count.writeUInt32LE(room)
  // Not zeroed: of megabytes of room, the kernel mostly fills a few pages.
  const keys = Buffer.allocUnsafe(map.keySize * room)
  const values = Buffer.allocUnsafe(valueBytes * room)
  return {
    next,
    bytes: keys.length + values.length,
    rest: [next, keys, values, count, null] as const,
    read(result: number): Entries {
      if (result < 0 && result !== -ENOENT) throw bpfFault(`reading ${map.name}`, -result)
      const read = count.readUInt32LE()
      return {
        count: read,
        keys: keys.subarray(0, read * map.keySize),
        values: values.subarray(0, read * valueBytes),
      }
    },
  }
}

/** How long it takes depends on how many there could be, too: of a hash, empty buckets are looked into. */
const isReadHere = ({ maxEntries }: MapInfo, { bytes }: { readonly bytes: number }): boolean =>
  maxEntries <= READ_HERE_ENTRIES && bytes <= READ_HERE_BYTES

const isUnsupported = (result: number): boolean => result === -EOPNOTSUPP || result === -ENOTSUPP

const joinChunks = (chunks: readonly Entries[]): Entries =>
  chunks.length === 1
    ? chunks[0]!
    : {
        count: chunks.reduce((sum, { count }) => sum + count, 0),
        keys: Buffer.concat(chunks.map(({ keys }) => keys)),
        values: Buffer.concat(chunks.map(({ values }) => values)),
      }

/**
 * Makes or replaces many entries in one call, on another thread: a map of maps waits for its readers, once
 * for the whole batch. `values` of a map of maps are file descriptors.
 */
export async function updateEntries(fd: number, map: MapInfo, entries: Entries): Promise<void> {
  if (entries.count === 0) return
  const count = Buffer.alloc(4)
  count.writeUInt32LE(entries.count)
  const libbpf = loadLibbpf()
  const result = await callAside(libbpf.bpf_map_update_batch, fd, entries.keys, entries.values, count, null)
  if (isUnsupported(result)) return updateOneByOne(fd, map, entries)
  checked(`writing ${entries.count} entries of ${map.name}`, result)
}

/** Deletes many entries in one call, on another thread; one that is gone is passed over. */
export async function deleteEntries(fd: number, map: MapInfo, keys: readonly Uint8Array[]): Promise<void> {
  for (let done = 0; done < keys.length; ) {
    const count = Buffer.alloc(4)
    count.writeUInt32LE(keys.length - done)
    const rest = Buffer.concat(keys.slice(done))
    const result = await callAside(loadLibbpf().bpf_map_delete_batch, fd, rest, count, null)
    if (isUnsupported(result)) return deleteOneByOne(fd, map, keys.slice(done))
    if (result < 0 && result !== -ENOENT) throw bpfFault(`deleting from ${map.name}`, -result)
    done += count.readUInt32LE() + (result === -ENOENT ? 1 : 0)
  }
}

async function deleteOneByOne(fd: number, map: MapInfo, keys: readonly Uint8Array[]): Promise<void> {
  for (const key of keys) {
    const result = await callAside(loadLibbpf().bpf_map_delete_elem, fd, key)
    if (result !== -ENOENT) checked(`deleting from ${map.name}`, result)
  }
}

function readOneByOne(fd: number, map: MapInfo, valueBytes: number): Entries {
  const keys: Buffer[] = []
  const values: Buffer[] = []
  const libbpf = loadLibbpf()
  let key: Buffer | null = null
  for (;;) {
    const next: Buffer = Buffer.alloc(map.keySize)
    if (!found(`reading ${map.name}`, libbpf.bpf_map_get_next_key(fd, key, next))) break
    key = next
    const value = Buffer.alloc(valueBytes)
    if (!lookupEntry(fd, key, value)) continue
    keys.push(key)
    values.push(value)
  }
  return { count: keys.length, keys: Buffer.concat(keys), values: Buffer.concat(values) }
}

async function updateOneByOne(fd: number, map: MapInfo, entries: Entries): Promise<void> {
  const valueBytes = entries.values.length / entries.count
  for (let i = 0; i < entries.count; i++) {
    const key = entries.keys.subarray(i * map.keySize, (i + 1) * map.keySize)
    const value = entries.values.subarray(i * valueBytes, (i + 1) * valueBytes)
    checked(`writing ${map.name}`, await callAside(loadLibbpf().bpf_map_update_elem, fd, key, value, 0))
  }
}

function found(what: string, result: number): boolean {
  if (result === -ENOENT) return false
  checked(what, result)
  return true
}
