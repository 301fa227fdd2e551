import { addressToBytes } from '../../../schemas/address.ts'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { createBreather } from '../../process/breather.ts'
import type { Dataplane } from './dataplane.ts'
import { decodeRing, encodeIndex, encodeRing, encodeServiceKey, type Ring, structs } from './layout.ts'
import type { Descriptor } from './libbpf/descriptor.ts'
import { openMapById } from './libbpf/info.ts'
import { lookupEntry } from './libbpf/maps.ts'
import { writeEntries } from './map-entries.ts'
import { copyCounters } from './member-counters.ts'
import { encodePortRanges } from './port-ranges.ts'
import { createRingMap } from './ring-map.ts'
import { countVips, readTables, type ServiceEntry } from './tables.ts'

/**
 * Fills the vips, services, rings and member counters of a dataplane that carries no traffic yet with those
 * of another one of another size. Services and counters are numbered anew; indexes and generations of members
 * stay, so flows stay.
 */
export async function copyTables(from: Dataplane, to: Dataplane): Promise<void> {
  const breathe = createBreather()
  const tables = await readTables(from, { breathe })
  const services = [...tables.services.values()].filter(({ id }) => tables.rings.has(id))
  refuseTooMany('services', services.length, to.maps.services.info.maxEntries)
  const counters: number[] = []
  const numbered = (ring: Ring): Ring => ({
    ...ring,
    members: ring.members.map(member => member && { ...member, counter: counters.push(member.counter) - 1 }),
  })
  const rings: Descriptor[] = []
  const copied: ServiceEntry[] = []
  try {
    for (const { key, id } of services) {
      await breathe()
      const ring = readRing(tables.rings.get(id)!)
      if (ring === undefined) continue
      rings.push(await createRingMap(encodeRing(numbered(ring))))
      copied.push({ key, id: copied.length })
    }
    refuseTooMany('members', counters.length, to.maps.member_counters.info.maxEntries)
    await writeEntries(
      to.maps.rings,
      rings.map(({ fd }, id) => [encodeIndex(id), encodeIndex(fd)]),
    )
  } finally {
    for (const ring of rings) ring.close()
  }
  await writeEntries(
    to.maps.services,
    copied
      .filter(({ key }) => key.endPort === undefined)
      .map(({ key, id }) => [encodeServiceKey(key), encodeIndex(id)]),
  )
  await writeEntries(to.maps.port_ranges, [...encodePortRanges(copied).values()])
  const vips = countVips(copied)
  await writeEntries(
    to.maps.vips,
    [...vips].map(([vip, count]) => [addressToBytes(vip), encodeIndex(count)]),
  )
  await copyCounters(from.maps.member_counters, to.maps.member_counters, { counters, breathe })
}

function readRing(mapId: number): Ring | undefined {
  using map = openMapById(mapId)
  if (map === undefined) return undefined
  const bytes = Buffer.alloc(structs.ring.size)
  return lookupEntry(map.fd, encodeIndex(0), bytes) ? decodeRing(bytes) : undefined
}

function refuseTooMany(what: 'services' | 'members', present: number, room: number): void {
  if (present <= room) return
  throw new BallastError({
    code: 'XDP_CAPACITY_TOO_SMALL',
    message: `the node has ${present} ${what}, and the maps asked for have room for ${room}`,
    hint: `Raise capacity.${what} in the Node manifest, or remove services from the node first.`,
  })
}
