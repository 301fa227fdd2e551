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
  /** Who took whose, most slots first. */
  readonly moves: readonly SlotMove[]
}

/** What a change of backends does to new flows, by address. */
export function compareRings(before: Backends, after: Backends): RingComparison {
  const shares = new Map<string | null, { before: number; after: number }>()
  const moves = new Map<string | null, Map<string | null, number>>()
  for (const [{ from, to }, slots] of pairOwners(before, after)) {
    shareOf(shares, from).before += slots
    shareOf(shares, to).after += slots
    if (from === to) continue
    const taken = moves.get(from) ?? new Map<string | null, number>()
    moves.set(from, taken.set(to, (taken.get(to) ?? 0) + slots))
  }
  const backends = [...shares].map(([address, share]) => ({ address, ...share }))
  const list = [...moves].flatMap(([from, taken]) => [...taken].map(([to, slots]) => ({ from, to, slots })))
  return {
    slots: RING_SLOTS,
    moved: list.reduce((sum, { slots }) => sum + slots, 0),
    minimum: backends.reduce((sum, share) => sum + Math.max(0, share.before - share.after), 0),
    backends: backends.sort((a, b) => compareNames(a.address, b.address)),
    moves: list.sort((a, b) => b.slots - a.slots || compareNames(a.from, b.from) || compareNames(a.to, b.to)),
  }
}

type Pair = { readonly from: string | null; readonly to: string | null }

/** How many slots have each pair of old and new owner; nobody is the one after the last. */
function pairOwners(before: Backends, after: Backends): [Pair, number][] {
  const width = after.length + 1
  const counts = countPairs(
    { turns: turnsOf(before), owners: before.length + 1 },
    { turns: turnsOf(after), owners: width },
  )
  const pairs: [Pair, number][] = []
  for (const [pair, slots] of counts.entries()) {
    if (slots === 0) continue
    pairs.push([{ from: nameOf(before, Math.floor(pair / width)), to: nameOf(after, pair % width) }, slots])
  }
  return pairs
}

const nameOf = (backends: Backends, index: number): string | null => backends[index]?.address ?? null

function shareOf(shares: Map<string | null, { before: number; after: number }>, address: string | null) {
  const share = shares.get(address) ?? { before: 0, after: 0 }
  shares.set(address, share)
  return share
}

const compareNames = (a: string | null, b: string | null): number =>
  a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -1 : 1
