import { addressFamily } from '../../../schemas/address.ts'
import { BallastError } from '../../../schemas/ballast-error.ts'
import type { RowKey, XdpServiceRow } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { type Allocation, allocate } from './allocation.ts'
import type { Dataplane } from './dataplane.ts'
import { aborted, type Failures } from './failures.ts'
import { knowServices } from './known-services.ts'
import { encodeIndex, encodeRing, encodeServiceKey, RING_MEMBERS, structs } from './layout.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { writeEntries } from './map-entries.ts'
import { assignMembers } from './members.ts'
import type { NumbersInUse } from './numbers-in-use.ts'
import { encodePortRanges } from './port-ranges.ts'
import { createRingMap } from './ring-map.ts'
import type { KnownRing, RingStore } from './ring-store.ts'
import { serviceRowKey } from './service-row-key.ts'
import { createSlotsMaker, type SlotsMaker } from './slots-maker.ts'
import { swapRings } from './swap-rings.ts'
import { readTables, type ServiceEntry, settleTables, type Tables } from './tables.ts'
import { createFeatureWriter, type FeatureWriter } from './write-features.ts'

export interface ServiceContext {
  readonly dataplane: Dataplane
  readonly store: RingStore
  readonly numbers: NumbersInUse
  readonly breathe: Breathe
  readonly signal: AbortSignal
}

/** Rings that are made and written to the kernel at a time, on other threads. */
const RINGS_IN_FLIGHT = 8

/** Rings held aside at a time, 160 KiB and a descriptor each. */
const BATCH = 1024

/**
 * Makes services as asked, whatever is there: rings aside, in slices; all of them swapped in by one update;
 * then the services that are new, then their VIPs.
 */
export async function putServices(
  context: ServiceContext,
  rows: readonly XdpServiceRow[],
): Promise<Failures> {
  const failures: Failures = new Map()
  const { dataplane, numbers, breathe } = context
  // Numbers of lists that nobody names may be taken all the same.
  const tables = await readTables(dataplane, {
    breathe,
    reader: rows.some(({ quic }) => quic !== undefined) ? null : context,
  })
  await breathe()
  const known = await knowServices(context, tables)
  await breathe()
  const forMembers = rows.some(row => hasNewMembers(row, known.get(serviceRowKey(row))))
  const allocation = await allocate(dataplane, { tables, known, forMembers, numbers, breathe })
  await breathe()
  await using maker = createSlotsMaker(backends => context.store.makeSlots(backends, breathe))
  const present: Present = {
    known,
    maker,
    tables,
    allocation,
    features: createFeatureWriter(context, tables),
    added: new Map(),
  }
  for (let from = 0; from < rows.length; from += BATCH) {
    const batch = rows.slice(from, from + BATCH)
    for (const [key, error] of await putBatch(context, present, batch)) {
      failures.set(key, error)
    }
  }
  await settleTables(context, await afterwards(context, present, failures), {
    put: new Set(rows.map(serviceRowKey)),
    gone: new Set(),
  })
  return failures
}

/**
 * What the kernel holds then: as it was read, with what was put in; read again where rings name lists, or something failed
 * and nobody knows how far it came.
 */
async function afterwards(
  context: ServiceContext,
  { tables, added }: Present,
  failures: Failures,
): Promise<Tables> {
  const hasLists = tables.accessLists.size + tables.serverIds.size > 0
  if (!hasLists && failures.size === 0)
    return added.size === 0 ? tables : { ...tables, services: new Map([...tables.services, ...added]) }
  const reader = tables.serverIds.size > 0 ? null : context
  return readTables(context.dataplane, { breathe: context.breathe, reader })
}

/** Takes services away; what is gone already is no failure. */
export async function dropServices(context: ServiceContext, keys: readonly RowKey[]): Promise<void> {
  await settleTables(
    context,
    await readTables(context.dataplane, { breathe: context.breathe, reader: context }),
    {
      put: new Set(),
      gone: new Set(keys),
    },
  )
}

function hasNewMembers({ backends }: XdpServiceRow, ring: KnownRing | undefined): boolean {
  const members = new Set(ring?.members.map(member => member?.address))
  return backends.some(({ address }) => !members.has(address))
}

interface Present {
  readonly tables: Tables
  readonly known: ReadonlyMap<RowKey, KnownRing>
  readonly allocation: Allocation
  readonly features: FeatureWriter
  readonly maker: SlotsMaker
  /** What is not in `tables`. */
  readonly added: Map<RowKey, ServiceEntry>
}

interface PreparedRing {
  readonly row: XdpServiceRow
  readonly rowKey: RowKey
  readonly id: number
  readonly isNew: boolean
  readonly map: Descriptor
  /** Whether the ring that it takes the place of names a member or a list that it does not name. */
  readonly leaves: boolean
}

async function putBatch(
  context: ServiceContext,
  present: Present,
  rows: readonly XdpServiceRow[],
): Promise<Failures> {
  const failures: Failures = new Map()
  const prepared: PreparedRing[] = []
  const buffers: Buffer<ArrayBuffer>[] = []
  const writing: Promise<void>[] = []
  const prepare = async (row: XdpServiceRow, buffer: Buffer<ArrayBuffer>): Promise<void> => {
    try {
      prepared.push(await prepareRing(context, present, { row, buffer }))
    } catch (error) {
      if (!(error instanceof BallastError)) throw error
      failures.set(serviceRowKey(row), error)
    }
  }
  try {
    for (const [place, row] of rows.entries()) {
      await context.breathe()
      if (context.signal.aborted) break
      // Who had the buffer before is through with it.
      await writing[place - RINGS_IN_FLIGHT]
      buffers[place % RINGS_IN_FLIGHT] ??= Buffer.alloc(structs.ring.size)
      const writes = prepare(row, buffers[place % RINGS_IN_FLIGHT]!)
      // Looked at below, in its turn.
      writes.catch(() => {})
      writing.push(writes)
    }
    await Promise.all(writing)
    if (context.signal.aborted) return new Map(rows.map(row => [serviceRowKey(row), aborted()]))
    await installRings(context.dataplane, present, prepared)
  } catch (error) {
    if (!(error instanceof BallastError)) throw error
    for (const { rowKey } of prepared) failures.set(rowKey, error)
  } finally {
    await Promise.allSettled(writing)
    for (const { map } of prepared) {
      await context.breathe()
      map.close()
    }
  }
  return failures
}

/** `buffer`: what the ring is written from. */
async function prepareRing(
  { store, breathe }: ServiceContext,
  { tables, known, allocation, features, maker }: Present,
  { row, buffer }: { row: XdpServiceRow; buffer: Buffer<ArrayBuffer> },
): Promise<PreparedRing> {
  refuseUnfit(row)
  const rowKey = serviceRowKey(row)
  const before = known.get(rowKey)
  const id = before && tables.services.get(rowKey)?.id
  await breathe()
  const members = assignMembers(before?.members ?? [], row.backends, allocation)
  const fields = {
    generation: (before?.generation ?? 0) + 1,
    encapsulation: row.encapsulation,
    ...(row.gue && { gue: row.gue }),
    ...(row.hashBy && { hashBy: row.hashBy }),
    ...features.featuresOf(row, members),
    idleTimeout: row.idleTimeout,
    key: row,
    members,
  }
  const service = id ?? allocation.takeService()
  await breathe()
  const slots = await store.slotsOf(members, maker)
  await breathe()
  const map = await createRingMap(encodeRing({ ...fields, slots }, buffer))
  const leaves = before !== undefined && isLeft(before, fields)
  return { row, rowKey, id: service, isNew: id === undefined, map, leaves }
}

/** Whether `before` names a member or a list that `after` does not name. */
function isLeft(before: Named, after: Named): boolean {
  return (
    (before.access !== undefined && before.access.list !== after.access?.list) ||
    (before.quic !== undefined && before.quic.list !== after.quic?.list) ||
    before.members.some(
      (member, index) => member !== undefined && after.members[index]?.generation !== member.generation,
    )
  )
}

type Named = Pick<KnownRing, 'access' | 'quic' | 'members'>

async function installRings(
  { maps }: Dataplane,
  { allocation, features, tables, added }: Present,
  prepared: readonly PreparedRing[],
): Promise<void> {
  await allocation.commit()
  await features.commit()
  await swapRings(
    maps.rings,
    prepared.map(({ id, map }) => ({ id, map })),
    prepared.some(({ leaves }) => leaves),
  )
  const fresh = prepared.filter(({ isNew }) => isNew)
  await writeEntries(
    maps.services,
    fresh
      .values()
      .filter(({ row }) => row.endPort === undefined)
      .map(({ row, id }) => [encodeServiceKey(row), encodeIndex(id)]),
  )
  for (const { row, rowKey, id } of fresh) added.set(rowKey, { key: row, id })
  if (fresh.some(({ row }) => row.endPort !== undefined)) {
    const services = new Map([...tables.services, ...added])
    await writeEntries(maps.port_ranges, [...encodePortRanges(services.values()).values()])
  }
}

function refuseUnfit({ vip, encapsulation, backends }: XdpServiceRow): void {
  if (backends.length > RING_MEMBERS) {
    throw new BallastError({
      code: 'XDP_TOO_MANY_BACKENDS',
      message: `a ring has room for ${RING_MEMBERS} backends, and ${backends.length} are wanted`,
      hint: 'Split the service, or put a second layer of balancing behind it.',
    })
  }
  const narrow =
    addressFamily(vip) === 6 && encapsulation !== 'l2'
      ? backends.find(({ address }) => addressFamily(address) === 4)
      : undefined
  if (narrow === undefined) return
  throw new BallastError({
    code: 'XDP_FAMILIES_MIXED',
    message: `${vip} is an IPv6 VIP, and its backend ${narrow.address} has an IPv4 address`,
    hint: 'Give the backend an IPv6 address: IPv6 is not carried in IPv4.',
  })
}
