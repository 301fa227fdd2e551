import { BallastError } from '../../../schemas/ballast-error.ts'
import type { Dataplane } from './dataplane.ts'
import { readControl } from './dataplane.ts'
import { encodeControl, encodeIndex, GENERATION_BITS, structs } from './layout.ts'
import { countPossibleCpus } from './libbpf/features.ts'
import { updateEntry } from './libbpf/maps.ts'
import { membersIn } from './members.ts'
import type { KnownRing } from './ring-store.ts'
import { type Tables, writeEntries } from './tables.ts'

/** Numbers that nobody has: of services, counters and generations. */
export interface Allocation {
  takeService(): number
  takeCounter(): number
  takeGeneration(): number
  /** Before any of them is used: generations are remembered as given out, counters begin at zero. */
  commit(): Promise<void>
}

export function allocate(
  dataplane: Dataplane,
  tables: Tables,
  rings: Iterable<KnownRing | undefined>,
): Allocation {
  const services = new Set([...tables.rings.keys(), ...[...tables.services.values()].map(({ id }) => id)])
  const counters = new Set<number>()
  const generations = new Set<number>()
  for (const ring of rings) {
    for (const member of membersIn(ring?.members ?? [])) {
      counters.add(member.counter)
      generations.add(member.generation)
    }
  }
  const control = readControl(dataplane)
  let nextGeneration = control.nextGeneration
  let fresh: number[] = []

  const takeServices = lowestFree(services, dataplane.maps.services.info.maxEntries, 'services')
  const takeCounters = lowestFree(counters, dataplane.maps.member_counters.info.maxEntries, 'members')
  return {
    takeService: takeServices,
    takeCounter() {
      const counter = takeCounters()
      fresh.push(counter)
      return counter
    },
    takeGeneration() {
      let generation = nextGeneration
      while (generation === 0 || generations.has(generation)) generation = following(generation)
      nextGeneration = following(generation)
      return generation
    },
    async commit() {
      updateEntry(dataplane.maps.control.fd, encodeIndex(0), encodeControl({ ...control, nextGeneration }))
      await zeroCounters(dataplane, fresh)
      fresh = []
    },
  }
}

/** They come round after 16 million; by then no flow has one of the first. */
const following = (generation: number): number => (generation + 1) % 2 ** GENERATION_BITS

function lowestFree(taken: Set<number>, limit: number, what: 'services' | 'members'): () => number {
  let next = 0
  return () => {
    while (taken.has(next)) next++
    if (next < limit) return next++
    throw new BallastError({
      code: 'XDP_CAPACITY_EXCEEDED',
      message: `the node's maps have no room for more ${what}: all ${limit} places are taken`,
      hint: `Raise capacity.${what} in the Node manifest; the maps are replaced under traffic.`,
    })
  }
}

async function zeroCounters({ maps }: Dataplane, counters: readonly number[]): Promise<void> {
  const zeros = Buffer.alloc(structs.member_counters.size * countPossibleCpus())
  await writeEntries(
    maps.member_counters,
    counters.map(counter => [encodeIndex(counter), zeros]),
  )
}
