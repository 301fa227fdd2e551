import type { IpvsServiceRow } from '../../schemas/node-state.ts'
import type { BackendShare, Impact, Move } from '../../schemas/plan.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { choiceOf, isTable, type Owner, ownersOf, SPREAD, shareOut, sharesOf, slotsOf } from './choice.ts'
import type { ServiceView } from './service-view.ts'

type Shares = ReadonlyMap<string, number>

/** Who had a part of the new flows and who gets it, in slots; not whole ones where they come of shares. */
interface Flow {
  readonly from: string | null
  readonly to: string | null
  readonly slots: number
}

/**
 * What a change does to new flows where not both sides are the same kind of ring: of the kernel's tables that it builds
 * for `mh`, `sh` and `dh`, slot by slot; by weights for schedulers that go by load or in turn, which keep the proportions
 * alone; and as of two hashes that know nothing of each other where old and new choose in different ways.
 */
export function measureChoiceImpact(before: ServiceView, after: ServiceView, mostMoves: number): Impact {
  if (choiceOf(before) !== choiceOf(after)) return measureIndependent(before, after, mostMoves)
  const { backends, least } = compareShares(before, after)
  const row = after.row as IpvsServiceRow
  if (!isTable(row))
    return {
      basis: 'weights',
      ...toImpact(byWeights(backends), { backends, least, slots: RING_SLOTS, mostMoves }),
    }
  const flows = byTable(ownersOf(before, after), ownersOf(after, before))
  return { basis: 'table', ...toImpact(flows, { backends, least, slots: slotsOf(row), mostMoves }) }
}

/**
 * Of two ways to choose that have nothing to do with each other: a flow stays with the sum of `share_before * share_after`, which is
 * exact over all flows that there can be.
 */
export function measureIndependent(before: ServiceView, after: ServiceView, mostMoves: number): Impact {
  const { was, is, backends, least } = compareShares(before, after)
  const flows = betweenIndependent(was, is)
  return { basis: 'independent', ...toImpact(flows, { backends, least, slots: RING_SLOTS, mostMoves }) }
}

function compareShares(before: ServiceView, after: ServiceView) {
  const [was, is] = [sharesOf(before, after), sharesOf(after, before)]
  const backends = joinShares([...before.backends, ...after.backends], was, is)
  const least = backends.reduce(
    (sum, { share_before, share_after }) => sum + Math.max(0, share_before - share_after),
    0,
  )
  return { was, is, backends, least }
}

function joinShares(
  backends: readonly { readonly address: string }[],
  was: Shares,
  is: Shares,
): BackendShare[] {
  const addresses = new Set(backends.map(({ address }) => address))
  return [...addresses].map(address => ({
    address,
    share_before: was.get(address) ?? 0,
    share_after: is.get(address) ?? 0,
  }))
}

interface Frame {
  readonly backends: BackendShare[]
  /** Share of flows that no choice could leave where they are. */
  readonly least: number
  readonly slots: number
  readonly mostMoves: number
}

/** Whole slots that add up to what moves in all: by largest remainder, so that a thousand small parts are not lost. */
function toImpact(
  flows: readonly Flow[],
  { backends, least, slots, mostMoves }: Frame,
): Omit<Impact, 'basis'> {
  const moved = Math.min(slots, Math.round(flows.reduce((sum, flow) => sum + flow.slots, 0)))
  const parts = flows.map(flow => ({ ...flow, whole: Math.floor(flow.slots) }))
  let rest = moved - parts.reduce((sum, { whole }) => sum + whole, 0)
  for (const part of parts.toSorted((a, b) => b.slots - b.whole - (a.slots - a.whole))) {
    if (rest-- <= 0) break
    part.whole++
  }
  const moves: Move[] = parts
    .filter(({ whole }) => whole > 0)
    .map(({ from, to, whole }) => ({ from, to, slots: whole }))
    .sort((a, b) => b.slots - a.slots)
  const kept = moves.slice(0, mostMoves)
  const shown = kept.reduce((sum, move) => sum + move.slots, 0)
  const minimum = Math.min(moved, Math.round(least * slots))
  return { slots, moved, minimum, backends, moves: kept, moves_cut: moved - shown }
}

/** A flow of any backend goes to each by its share. */
function betweenIndependent(was: Shares, is: Shares): Flow[] {
  const rest = (shares: Shares): [null, number] => [
    null,
    Math.max(0, 1 - [...shares.values()].reduce((sum, share) => sum + share, 0)),
  ]
  return [...was, rest(was)].flatMap(([from, share]) =>
    [...is, rest(is)].flatMap(([to, other]) =>
      from === to ? [] : [{ from, to, slots: share * other * RING_SLOTS }],
    ),
  )
}

/** What backends lose goes to those that gain, by what they gain. */
function byWeights(backends: readonly BackendShare[], slots = RING_SLOTS): Flow[] {
  const change = backends.map(({ address, share_before, share_after }) => ({
    address,
    gain: share_after - share_before,
  }))
  const sum = (sign: 1 | -1) => change.reduce((total, { gain }) => total + Math.max(0, sign * gain), 0)
  const [gained, lost] = [sum(1), sum(-1)]
  const most = Math.max(gained, lost)
  if (most < Number.EPSILON) return []
  // Of a side with nobody, nobody has the rest.
  const losers = [...change, { address: null, gain: lost - gained }].filter(({ gain }) => gain < 0)
  const winners = [...change, { address: null, gain: lost - gained }].filter(({ gain }) => gain > 0)
  return losers.flatMap(loser =>
    winners.map(winner => ({
      from: loser.address,
      to: winner.address,
      slots: (-loser.gain * winner.gain * slots) / most,
    })),
  )
}

function byTable(before: readonly Owner[], after: readonly Owner[]): Flow[] {
  const [was, is] = [shareOfNamed(before), shareOfNamed(after)]
  const pairs = new Map<Owner, Map<Owner, number>>()
  for (const [slot, from] of before.entries()) {
    const to = after[slot]!
    if (from === to && from !== SPREAD) continue
    const row = pairs.get(from) ?? new Map<Owner, number>()
    pairs.set(from, row.set(to, (row.get(to) ?? 0) + 1))
  }
  return [...pairs].flatMap(([from, row]) =>
    [...row].flatMap(([to, slots]): Flow[] => {
      if (from === SPREAD && to === SPREAD) return betweenSpreads(was, is, slots)
      if (from === SPREAD)
        return [...was].flatMap(([name, share]) =>
          name === to ? [] : [{ from: name, to: to as string | null, slots: share * slots }],
        )
      if (to === SPREAD)
        return [...is].flatMap(([name, share]) =>
          name === from ? [] : [{ from, to: name, slots: share * slots }],
        )
      return [{ from, to, slots }]
    }),
  )
}

/** Of flows that are spread, by whom they go to, as parts of one. */
function shareOfNamed(owners: readonly Owner[]): Shares {
  const shares = shareOut(owners)
  const total = [...shares.values()].reduce((sum, share) => sum + share, 0)
  return new Map([...shares].map(([name, share]) => [name, share / total]))
}

const betweenSpreads = (was: Shares, is: Shares, slots: number): Flow[] =>
  byWeights(
    [...new Set([...was.keys(), ...is.keys()])].map(address => ({
      address,
      share_before: was.get(address) ?? 0,
      share_after: is.get(address) ?? 0,
    })),
    slots,
  )
