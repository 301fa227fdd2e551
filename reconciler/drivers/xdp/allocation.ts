import { BallastError } from '../../../schemas/ballast-error.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { type Dataplane, readControl } from './dataplane.ts'
import { encodeControl, encodeIndex, GENERATION_BITS } from './layout.ts'
import { updateEntry } from './libbpf/maps.ts'
import { zeroCounters } from './member-counters.ts'
import type { NumbersInUse } from './numbers-in-use.ts'
import type { KnownRing } from './ring-store.ts'
import type { Tables } from './tables.ts'

/** Numbers that nobody has: of services, counters and generations; the last two for services with new members. */
export interface Allocation {
  takeService(): number
  takeCounter(): number
  takeGeneration(): number
  /** Before any of them is used: generations are remembered as given out, counters begin at zero. */
  commit(): Promise<void>
}

export interface Holdings {
  readonly tables: Tables
  readonly known: ReadonlyMap<RowKey, KnownRing>
  /** Whether any service gets new members: what others have is only looked for then. */
  readonly forMembers: boolean
  readonly numbers: NumbersInUse
  readonly breathe: Breathe
}

export async function allocate(
  dataplane: Dataplane,
  { tables, known, forMembers, numbers, breathe }: Holdings,
): Promise<Allocation> {
  const { services, member_counters } = dataplane.maps
  let used: Uint8Array | undefined
  /** Only for who has new services. */
  const usedServices = (): Uint8Array => {
    if (used !== undefined) return used
    used = new Uint8Array(services.info.maxEntries)
    for (const { id } of tables.services.values()) used[id] = 1
    return used
  }
  if (forMembers) await numbers.follow(known, member_counters.info.maxEntries, breathe)
  const control = readControl(dataplane)
  let nextService = 0
  let nextCounter = 0
  let nextGeneration = control.nextGeneration
  let fresh: number[] = []

  return {
    takeService() {
      const service = usedServices().indexOf(0, nextService)
      if (service === -1) throw exceeded('services', services.info.maxEntries)
      nextService = service + 1
      return service
    },
    takeCounter() {
      const counter = numbers.freeCounter(nextCounter)
      if (counter === undefined) throw exceeded('members', member_counters.info.maxEntries)
      nextCounter = counter + 1
      fresh.push(counter)
      return counter
    },
    takeGeneration() {
      let generation = nextGeneration
      while (generation === 0 || numbers.hasGeneration(generation)) generation = following(generation)
      nextGeneration = following(generation)
      return generation
    },
    async commit() {
      updateEntry(dataplane.maps.control.fd, encodeIndex(0), encodeControl({ ...control, nextGeneration }))
      await zeroCounters(member_counters, fresh)
      fresh = []
    },
  }
}

/** They come round after 16 million; by then no flow has one of the first. */
const following = (generation: number): number => (generation + 1) % 2 ** GENERATION_BITS

function exceeded(what: 'services' | 'members', places: number): BallastError {
  return new BallastError({
    code: 'XDP_CAPACITY_EXCEEDED',
    message: `the node's maps have no room for more ${what}: all ${places} places are taken`,
    hint: `Raise capacity.${what} in the Node manifest; the maps are replaced under traffic.`,
  })
}
