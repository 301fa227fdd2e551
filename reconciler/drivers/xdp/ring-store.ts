import { digestOf, sha256 } from '../../../schemas/digest.ts'
import type { XdpServiceRow } from '../../../schemas/node-state.ts'
import type { Digest } from '../../../schemas/want.ts'
import { compareIdentities, RING_SLOTS, SLOT_NONE } from '../../ring/maglev.ts'
import type { BuildRing } from '../../ring/ring-cache.ts'
import { ringDigest } from '../../ring/ring-digest.ts'
import { decodeRing, encodeIndex, type Ring, structs } from './layout.ts'
import { isFrozen, openMapById, readMapInfo } from './libbpf/info.ts'
import { lookupEntry } from './libbpf/maps.ts'
import { membersIn } from './members.ts'

/** A ring as it was read, less its slots. */
export interface KnownRing extends Omit<Ring, 'slots'> {
  /** What it makes of a service. */
  readonly row: XdpServiceRow
  /** Of slot -> backend. */
  readonly digest: Digest
}

export interface RingStore {
  /** The ring in an inner map; undefined when there is no such map, or no ring in it. */
  read(mapId: number): KnownRing | undefined
  /** A digest of what may have changed though its map is the same; '' for a frozen one. */
  readLoose(mapId: number): string
  /** Forgets all others. */
  keepOnly(mapIds: Iterable<number>): void
}

/** Reads rings, each once: a frozen map can never be written again, and ids of maps are not used twice. */
export function createRingStore(ringOf: BuildRing): RingStore {
  const frozen = new Map<number, KnownRing | undefined>()

  function look(mapId: number): { bytes: Buffer; final: boolean } | undefined {
    using map = openMapById(mapId)
    if (map === undefined || readMapInfo(map.fd).valueSize !== structs.ring.size) return undefined
    const final = isFrozen(map.fd)
    const bytes = Buffer.alloc(structs.ring.size)
    lookupEntry(map.fd, encodeIndex(0), bytes)
    return { bytes, final }
  }

  function read(mapId: number): KnownRing | undefined {
    if (frozen.has(mapId)) return frozen.get(mapId)
    const seen = look(mapId)
    const ring = seen && decodeRing(seen.bytes)
    const known = ring && knowRing(ring, ringOf)
    if (seen?.final) frozen.set(mapId, known)
    return known
  }

  return {
    read,
    readLoose(mapId) {
      if (frozen.has(mapId)) return ''
      const seen = look(mapId)
      return seen === undefined || seen.final ? '' : sha256(seen.bytes)
    },
    keepOnly(mapIds) {
      const kept = new Set(mapIds)
      for (const mapId of frozen.keys()) if (!kept.has(mapId)) frozen.delete(mapId)
    },
  }
}

/** The slots that Maglev gives to members, as indexes into them. */
export function slotsOf(members: Ring['members'], ringOf: BuildRing): Uint16Array {
  const sorted = sortMembers(members)
  const indexes = new Uint16Array(SLOT_NONE + 1).fill(SLOT_NONE)
  for (const [place, { index }] of sorted.entries()) indexes[place] = index
  return ringOf(sorted).map(place => indexes[place]!)
}

function knowRing({ slots, ...ring }: Ring, ringOf: BuildRing): KnownRing {
  const expected = slotsOf(ring.members, ringOf)
  let differing = 0
  for (let slot = 0; slot < RING_SLOTS; slot++) if (slots[slot] !== expected[slot]) differing++
  const row: XdpServiceRow = {
    kind: 'service',
    ...ring.key,
    encapsulation: ring.encapsulation,
    ring: { slots: RING_SLOTS, differing },
    idleTimeout: ring.idleTimeout,
    backends: sortMembers(ring.members).map(({ address, weight }) => ({ address, weight })),
  }
  const addresses = ring.members.map(member => member?.address)
  const named = slots.every(index => index === SLOT_NONE || addresses[index] !== undefined)
  return { ...ring, row, digest: named ? ringDigest(addresses, slots) : digestOf([addresses, [...slots]]) }
}

const sortMembers = (members: Ring['members']) =>
  [...membersIn(members)].sort((a, b) => compareIdentities(a.address, b.address))
