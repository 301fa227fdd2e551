import { BallastError } from '../../../schemas/ballast-error.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { Breathe } from './breather.ts'
import { type Dataplane, readControl } from './dataplane.ts'
import { encodeControl, encodeIndex, GENERATION_BITS } from './layout.ts'
import { updateEntry } from './libbpf/maps.ts'
import { zeroCounters } from './member-counters.ts'
import { membersIn } from './members.ts'
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
  readonly breathe: Breathe
}

export async function allocate(
  dataplane: Dataplane,
  { tables, known, forMembers, breathe }: Holdings,
): Promise<Allocation> {
  const { services, member_counters } = dataplane.maps
  const usedServices = new Uint8Array(services.info.maxEntries)
  for (const { id } of tables.services.values()) usedServices[id] = 1
  const usedCounters = new Uint8Array(member_counters.info.maxEntries)
  const usedGenerations = new Set<number>()
  for (const ring of forMembers ? known.values() : []) {
    await breathe()
    const { counters, generations } = numbersIn(ring)
    for (const counter of counters) usedCounters[counter] = 1
    for (const generation of generations) usedGenerations.add(generation)
  }
  const control = readControl(dataplane)
  let nextGeneration = control.nextGeneration
  let fresh: number[] = []

  const takeCounter = lowestFree(usedCounters, 'members')
  return {
    takeService: lowestFree(usedServices, 'services'),
    takeCounter() {
      const counter = takeCounter()
      fresh.push(counter)
      return counter
    },
    takeGeneration() {
      let generation = nextGeneration
      while (generation === 0 || usedGenerations.has(generation)) generation = following(generation)
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

interface Numbers {
  readonly counters: Uint32Array
  /** Each once: members that came together have one. */
  readonly generations: readonly number[]
}

/** A ring that was read stays what it is, and there are a hundred thousand members to look through at every change. */
const numbersOf = new WeakMap<KnownRing, Numbers>()

function numbersIn(ring: KnownRing): Numbers {
  const before = numbersOf.get(ring)
  if (before !== undefined) return before
  const members = [...membersIn(ring.members)]
  const numbers = {
    counters: Uint32Array.from(members, ({ counter }) => counter),
    generations: [...new Set(members.map(({ generation }) => generation))],
  }
  numbersOf.set(ring, numbers)
  return numbers
}

/** They come round after 16 million; by then no flow has one of the first. */
const following = (generation: number): number => (generation + 1) % 2 ** GENERATION_BITS

function lowestFree(taken: Uint8Array, what: 'services' | 'members'): () => number {
  let next = 0
  return () => {
    while (taken[next] === 1) next++
    if (next < taken.length) return next++
    throw new BallastError({
      code: 'XDP_CAPACITY_EXCEEDED',
      message: `the node's maps have no room for more ${what}: all ${taken.length} places are taken`,
      hint: `Raise capacity.${what} in the Node manifest; the maps are replaced under traffic.`,
    })
  }
}
