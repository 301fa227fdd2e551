import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { countPairs } from './fill-slots.ts'
import { type RingBackend, turnsOf } from './maglev.ts'

type Backends = readonly RingBackend[]

/** A backend's slots; null stands for nobody. */
export interface ShareChange {
  readonly address: string | null
  readonly before: number
  readonly after: number
}

export interface SlotMove {
  readonly from: string | null
  readonly to: string | null
  readonly slots: number
}

export interface RingComparison {
  readonly slots: number
  /** Slots that name someone else than before: the share of new flows that go elsewhere. */
  readonly moved: number
  /** What no table could do without: the slots that backends have lost, in sum. */
  readonly minimum: number
  /** Everyone who has or had slots, by address as text, nobody last. */
  readonly backends: readonly ShareChange[]
  /** Who took whose, most slots first; the largest of them when so many were asked for. */
  readonly moves: readonly SlotMove[]
}

/** What a change of backends, each of them there once, does to new flows, by address; the `mostMoves` largest of its moves. */
export function compareRings(
  before: Backends,
  after: Backends,
  mostMoves = Number.POSITIVE_INFINITY,
): RingComparison {
  const [was, is] = [namesOf(before), namesOf(after)]
  const counts = countPairs(
    { turns: turnsOf(before), owners: was.length },
    { turns: turnsOf(after), owners: is.length },
  )
  const had = new Uint32Array(was.length)
  const has = new Uint32Array(is.length)
  let moved = 0
  const sizes: number[] = []
  for (const [row, from] of was.entries())
    for (const [column, to] of is.entries()) {
      const slots = counts[row * is.length + column]!
      if (slots === 0) continue
      had[row]! += slots
      has[column]! += slots
      if (from === to) continue
      moved += slots
      sizes.push(slots)
    }
  const least = sizes.length <= mostMoves ? 1 : nthLargest(sizes, mostMoves)
  const moves: SlotMove[] = []
  for (const [row, from] of was.entries())
    for (const [column, to] of is.entries()) {
      const slots = counts[row * is.length + column]!
      if (slots >= least && from !== to) moves.push({ from, to, slots })
    }
  const backends = joinShares([was, had], [is, has])
  return {
    slots: RING_SLOTS,
    moved,
    minimum: backends.reduce((sum, share) => sum + Math.max(0, share.before - share.after), 0),
    backends: backends.sort((a, b) => compareNames(a.address, b.address)),
    moves: moves
      .sort((a, b) => b.slots - a.slots || compareNames(a.from, b.from) || compareNames(a.to, b.to))
      .slice(0, mostMoves),
  }
}

/** Of at least `n` numbers below 2^32. */
const nthLargest = (numbers: readonly number[], n: number): number =>
  n === 0 ? Number.POSITIVE_INFINITY : Uint32Array.from(numbers).sort()[numbers.length - n]!

/** By owner; nobody is the one after the last. */
const namesOf = (backends: Backends): (string | null)[] => [...backends.map(({ address }) => address), null]

type Counted = readonly [names: readonly (string | null)[], slots: Uint32Array]

function joinShares(before: Counted, after: Counted): ShareChange[] {
  const shares = new Map<string | null, { address: string | null; before: number; after: number }>()
  const put = ([names, counts]: Counted, side: 'before' | 'after'): void => {
    for (const [index, address] of names.entries()) {
      const slots = counts[index]!
      if (slots === 0) continue
      const share = shares.get(address) ?? { address, before: 0, after: 0 }
      share[side] += slots
      shares.set(address, share)
    }
  }
  put(before, 'before')
  put(after, 'after')
  return [...shares.values()]
}

const compareNames = (a: string | null, b: string | null): number =>
  a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -1 : 1
