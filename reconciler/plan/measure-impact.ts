import type { RowBackend } from '../../schemas/node-state.ts'
import type { BackendShare, Impact, Move } from '../../schemas/plan.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import type { RingComparison } from '../ring/compare-rings.ts'
import { countSlotsOfSorted } from '../ring/maglev.ts'

type Backends = readonly RowBackend[]

/** What new flows do when one ring follows another: at least the first `mostMoves` of its moves. */
export type CompareRings = (before: Backends, after: Backends, mostMoves: number) => MovedSlots

export type MovedSlots = Pick<RingComparison, 'moved' | 'minimum' | 'moves'>

export interface ImpactInput {
  readonly before: Backends
  readonly after: Backends
  /** Pairs of backends that are kept. */
  readonly mostMoves: number
}

/**
 * What a change of backends does to a service's traffic. Shares are exact (slots of the ring); the rings themselves
 * are only built where both sides have backends and they differ.
 */
export function measureImpact({ before, after, mostMoves }: ImpactInput, compareRings: CompareRings): Impact {
  if (before === after) return standingImpact(after)
  const standing = {
    basis: 'ring' as const,
    slots: RING_SLOTS,
    moved: 0,
    minimum: 0,
    backends: joinShares(before, after),
    moves: [],
    moves_cut: 0,
  }
  if (!needsRings(before, after)) return standing
  const { moved, minimum, moves } = compareRings(before, after, mostMoves)
  const kept: Move[] = moves.slice(0, mostMoves)
  const shown = kept.reduce((sum, { slots }) => sum + slots, 0)
  return { ...standing, moved, minimum, moves: kept, moves_cut: moved - shown }
}

/** Whether `measureImpact` asks for their rings. */
export const needsRings = (before: Backends, after: Backends): boolean =>
  before !== after &&
  before.length > 0 &&
  after.length > 0 &&
  (areSameAddresses(before, after)
    ? sharesOf(before).some((share, index) => share !== sharesOf(after)[index])
    : joinShares(before, after).some(({ share_before, share_after }) => share_before !== share_after))

const areSameAddresses = (before: Backends, after: Backends): boolean =>
  before.length === after.length && before.every(({ address }, index) => address === after[index]!.address)

/** Services that stay as they are, push after push. Their lists of backends are never changed. */
const standingImpacts = new WeakMap<Backends, Impact>()

function standingImpact(backends: Backends): Impact {
  const known = standingImpacts.get(backends)
  if (known !== undefined) return known
  const shares = sharesOf(backends)
  const impact = {
    basis: 'ring' as const,
    slots: RING_SLOTS,
    moved: 0,
    minimum: 0,
    backends: backends.map(({ address }, index) => ({
      address,
      share_before: shares[index]!,
      share_after: shares[index]!,
    })),
    moves: [],
    moves_cut: 0,
  }
  standingImpacts.set(backends, impact)
  return impact
}

const knownShares = new WeakMap<Backends, readonly number[]>()

function sharesOf(backends: Backends): readonly number[] {
  const known = knownShares.get(backends)
  if (known !== undefined) return known
  const shares = countSlotsOfSorted(backends).map(slots => slots / RING_SLOTS)
  knownShares.set(backends, shares)
  return shares
}

function joinShares(before: Backends, after: Backends): BackendShare[] {
  const [was, is] = [sharesOf(before), sharesOf(after)]
  if (areSameAddresses(before, after))
    return after.map(({ address }, index) => ({
      address,
      share_before: was[index]!,
      share_after: is[index]!,
    }))
  const shares = new Map<string, BackendShare>()
  const put = (backends: Backends, known: readonly number[], side: 'share_before' | 'share_after'): void => {
    for (const [index, { address }] of backends.entries()) {
      const share = shares.get(address) ?? { address, share_before: 0, share_after: 0 }
      share[side] = known[index]!
      shares.set(address, share)
    }
  }
  put(before, was, 'share_before')
  put(after, is, 'share_after')
  return [...shares.values()]
}
