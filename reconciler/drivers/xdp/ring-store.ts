import { sha256 } from '../../../schemas/digest.ts'
import type { RowKey, XdpServiceRow } from '../../../schemas/node-state.ts'
import { RING_SLOTS } from '../../../schemas/ring-limits.ts'
import type { Digest } from '../../../schemas/want.ts'
import { type Breathe, inSteps } from '../../process/breather.ts'
import { compareIdentities, identify, preferenceOf } from '../../ring/identity.ts'
import { type RingBackend, SLOT_NONE } from '../../ring/maglev.ts'
import type { BuildRing } from '../../ring/ring-cache.ts'
import { ringDigest, stepRingDigest } from '../../ring/ring-digest.ts'
import { changedSince } from './changed-map.ts'
import { decodeRing, encodeIndex, isBlankRing, type Ring, structs } from './layout.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { isFrozen, openMapById, readMapInfo } from './libbpf/info.ts'
import { lookupEntry } from './libbpf/maps.ts'
import { serviceRowKey } from './service-row-key.ts'
import { type MadeSlots, type SlotsMaker, writeBackends } from './slots-maker.ts'

/** A ring as it was read, less its slots. */
export interface KnownRing extends Omit<Ring, 'slots'> {
  /** Of the service that it says it is of. */
  readonly rowKey: RowKey
  /** What it makes of a service, less what lists say: see complete-row.ts. */
  readonly row: XdpServiceRow
  /** Of slot -> backend. */
  readonly digest: Digest
}

/** `blank`: what Ballast puts in the place of the ring of a service that went. */
export type RingContent = KnownRing | 'blank' | 'unreadable'

export interface RingStore {
  /** What is in an inner map; `unreadable` when there is no such map, or no ring in it. */
  read(mapId: number): RingContent
  /** Whether it was read, and can never be another. */
  isKnown(mapId: number): boolean
  /** Whether any of those that are known names server ids. */
  hasServerIds(): boolean
  /** Whether it was seen that nobody can write its map any more. */
  isFinal(mapId: number): boolean
  /** A digest of what may have changed though its map is the same; '' for a frozen one. */
  readLoose(mapId: number): string
  /** Forgets all but the rings of these ids, each in its map. */
  keepOnly(rings: ReadonlyMap<number, number>): void
  /** The slots that Maglev gives to members, as indexes into them. Shared: never write to it. */
  slotsOf(members: Ring['members'], maker: SlotsMaker): Promise<Uint16Array>
  /** Here, in slices; remembered among the rings used last. */
  makeSlots(backends: readonly RingBackend[], breathe: Breathe): Promise<MadeSlots>
}

/** Enough for every service of a large node. */
const EXPECTATIONS_KEPT = 16384

/** Reads rings, each once: a frozen map can never be written again, and ids of maps are not used twice. */
export function createRingStore(ringOf: BuildRing): RingStore {
  const frozen = new Map<number, RingContent>()
  /** Digests of rings as Maglev makes them, by backends: small enough to remember all. */
  const expected = new Map<Digest, Digest>()

  /** 160 KiB for the garbage collector at each of a thousand rings would be most of the work. */
  const bytes = Buffer.alloc(structs.ring.size)

  /** Those of `frozen` that name server ids. */
  const withServerIds = new Set<number>()
  let keptLast: ReadonlyMap<number, number> | undefined
  /** Ids of maps that nobody can write any more, whether their content was read or not. */
  const finals = new Set<number>()

  function lookIfFinal(mapId: number, { fd }: Descriptor): boolean {
    if (finals.has(mapId)) return true
    if (!isFrozen(fd)) return false
    finals.add(mapId)
    return true
  }

  function openRing(mapId: number): Descriptor | undefined {
    const map = openMapById(mapId)
    if (map === undefined || readMapInfo(map.fd).valueSize === structs.ring.size) return map
    map.close()
    return undefined
  }

  /** What it gives is overwritten by the next look. */
  function look({ fd }: Descriptor): Buffer {
    lookupEntry(fd, encodeIndex(0), bytes)
    return bytes
  }

  function remember(name: Digest, digest: Digest): void {
    if (expected.size >= EXPECTATIONS_KEPT) expected.clear()
    expected.set(name, digest)
  }

  async function makeSlots(backends: readonly RingBackend[], breathe: Breathe): Promise<MadeSlots> {
    // Of addresses that are new it takes longer than the ring.
    for (const { address } of backends) {
      await breathe()
      preferenceOf(identify(address))
    }
    await breathe()
    const slots = ringOf(backends)
    await breathe()
    const addresses = backends.map(({ address }) => address)
    const digest =
      expected.get(nameBackends(backends)) ?? (await inSteps(stepRingDigest(addresses, slots), breathe))
    return { slots, digest }
  }

  async function slotsOf(members: Ring['members'], maker: SlotsMaker): Promise<Uint16Array> {
    const sorted = sortMembers(members)
    const { slots, digest } = await maker.make(sorted)
    remember(nameBackends(sorted), digest)
    return numberSlots(sorted, slots)
  }

  function know({ slots, ...ring }: Ring): KnownRing {
    const { members, key, encapsulation, gue, hashBy, flowLimit, handover, idleTimeout } = ring
    const digest = digestSlots(members, slots)
    const sorted = sortMembers(members)
    const name = nameBackends(sorted)
    const isExpected = digest === expected.get(name)
    const differing = isExpected ? 0 : countDiffering(slots, numberSlots(sorted, ringOf(sorted)))
    if (differing === 0) remember(name, digest)
    const backends = sorted.map(({ address, weight }) => ({ address, weight }))
    const shape = { slots: RING_SLOTS, differing }
    return {
      ...ring,
      rowKey: serviceRowKey(key),
      row: {
        kind: 'service',
        ...key,
        encapsulation,
        ...(gue && { gue }),
        ...(hashBy && { hashBy }),
        ...(flowLimit && { flowLimit }),
        ...(handover && { handover }),
        ring: shape,
        idleTimeout,
        backends,
      },
      digest,
    }
  }

  function interpret(bytes: Buffer): RingContent {
    if (isBlankRing(bytes)) return 'blank'
    const ring = decodeRing(bytes)
    return ring === undefined ? 'unreadable' : know(ring)
  }

  return {
    read(mapId) {
      const known = frozen.get(mapId)
      if (known !== undefined) return known
      using map = openRing(mapId)
      if (map === undefined) return 'unreadable'
      // Asked first: what is read of a map that is frozen meanwhile may be what it was before.
      const final = lookIfFinal(mapId, map)
      const content = interpret(look(map))
      if (!final) return content
      frozen.set(mapId, content)
      if (typeof content === 'object' && content.quic !== undefined) withServerIds.add(mapId)
      return content
    },
    isKnown: mapId => frozen.has(mapId),
    hasServerIds: () => withServerIds.size > 0,
    isFinal: mapId => finals.has(mapId),
    readLoose(mapId) {
      if (finals.has(mapId)) return ''
      using map = openRing(mapId)
      return map === undefined || lookIfFinal(mapId, map) ? '' : sha256(look(map))
    },
    keepOnly(rings) {
      const changed = changedSince(keptLast, rings)
      const kept = new Set(changed === null ? rings.values() : [])
      // Of a map that is in more places than one it is found out again.
      const gone = changed === null ? null : [...changed].map(id => keptLast?.get(id) ?? 0)
      for (const ids of [frozen, finals, withServerIds]) {
        for (const mapId of gone ?? ids.keys()) if (!kept.has(mapId)) ids.delete(mapId)
      }
      keptLast = rings
    },
    slotsOf,
    makeSlots,
  }
}

/** From places among the sorted members to their indexes. */
function numberSlots(sorted: readonly { readonly index: number }[], places: Uint16Array): Uint16Array {
  const indexes = Uint16Array.from(sorted, ({ index }) => index)
  // Of a new service members stand in their order.
  if (indexes.every((index, place) => index === place)) return places
  const slots = new Uint16Array(RING_SLOTS)
  for (let slot = 0; slot < RING_SLOTS; slot++) {
    const place = places[slot]!
    slots[slot] = place === SLOT_NONE ? SLOT_NONE : indexes[place]!
  }
  return slots
}

/** Of a ring with slots that name nobody too, which only somebody else can have written. */
function digestSlots(members: Ring['members'], slots: Uint16Array): Digest {
  try {
    return ringDigest(addressesOf(members), slots)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return sha256(new Uint8Array(slots.buffer, slots.byteOffset, slots.byteLength))
  }
}

function countDiffering(slots: Uint16Array, others: Uint16Array): number {
  let differing = 0
  for (let slot = 0; slot < RING_SLOTS; slot++) if (slots[slot] !== others[slot]) differing++
  return differing
}

const addressesOf = (members: Ring['members']) => members.map(member => member?.address)

/** Of backends that are sorted by identity. */
const nameBackends = (backends: readonly RingBackend[]): Digest => sha256(writeBackends(backends))

/** In order of identity. */
function sortMembers(members: Ring['members']): (RingBackend & { readonly index: number })[] {
  const sorted: (RingBackend & { readonly index: number })[] = []
  for (let index = 0; index < members.length; index++) {
    const member = members[index]
    if (member !== undefined) sorted.push({ address: member.address, weight: member.weight, index })
  }
  return sorted.sort((a, b) => compareIdentities(a.address, b.address))
}
