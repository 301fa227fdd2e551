import type { RowKey } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { changedSince } from './changed-map.ts'
import type { KnownRing } from './ring-store.ts'

/** Counters and generations that members of rings have. */
export interface NumbersInUse {
  /** Looks at the rings of all services; what else is asked is of these. `size`: how many counters there are. */
  follow(known: ReadonlyMap<RowKey, KnownRing>, size: number, breathe: Breathe): Promise<void>
  /** The lowest free one from there on; undefined when there is none. */
  freeCounter(from: number): number | undefined
  hasGeneration(generation: number): boolean
}

/** A node has a hundred thousand members: who follows its rings again and again pays for those that changed. */
export function createNumbersInUse(): NumbersInUse {
  let rings: ReadonlyMap<RowKey, KnownRing> = new Map()
  /** How many members have it: somebody else may have given one twice, or one that is none. */
  let counters = new Uint16Array()
  let generations = new Map<number, number>()

  function count({ members }: KnownRing, by: 1 | -1): void {
    let last: number | undefined
    for (const member of members) {
      if (member === undefined) continue
      counters[member.counter]! += by
      // Those that came together stand together.
      if (member.generation === last) continue
      last = member.generation
      const sum = (generations.get(last) ?? 0) + by
      if (sum === 0) generations.delete(last)
      else generations.set(last, sum)
    }
  }

  return {
    async follow(known, size, breathe) {
      if (counters.length !== size) {
        rings = new Map()
        counters = new Uint16Array(size)
        generations = new Map()
      }
      const before = rings
      rings = known
      for (const rowKey of changedSince(before, known) ?? new Set([...before.keys(), ...known.keys()])) {
        const [was, ring] = [before.get(rowKey), known.get(rowKey)]
        if (was === ring) continue
        await breathe()
        if (was !== undefined) count(was, -1)
        if (ring !== undefined) count(ring, 1)
      }
    },
    freeCounter(from) {
      const free = counters.indexOf(0, from)
      return free === -1 ? undefined : free
    },
    hasGeneration: generation => generations.has(generation),
  }
}
