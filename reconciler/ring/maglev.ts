import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { fillSlots, type Turn } from './fill-slots.ts'
import { compareIdentities, identify, orderIdentities, preferenceOf } from './identity.ts'

/**
 * The Maglev lookup table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer",
 * NSDI 2016, 3.4) with exact weights: the same table from the same backends on every node, in whatever order
 * they came, and little of it moves when they change (rule 4).
 *
 * The paper's preferences, offset + n * step, are so regular that two backends with related steps are in each
 * other's way: of 200 pools of four, one moved 1% of its slots too many when a backend left, and a pool of
 * twenty was seen to move 4.5%. Here they are a bijection of 16 bits of its own for every backend; none of
 * 10,000 pools came to 0.7%.
 */

/** A slot that nobody has: every backend has weight 0. */
export const SLOT_NONE = 0xffff

export interface RingBackend {
  readonly address: string
  /** 0: no slots. Any unit; only proportions count. */
  readonly weight: number
}

/**
 * Which backend has which slot, as an index into `backends` as given. A backend's share is its weight's,
 * by largest remainder to within one slot, but never none while its weight is positive.
 *
 * Turns come evenly over the rounds, in order of identity. At its turn a backend takes the first free slot
 * of those it prefers: with h the SHA-256 of its address's 16 bytes as 16-bit words (little-endian),
 * a = h[1] | 1 and b = h[2] | 1, they are x = n * a mod 2^16, slot = (x ^ x >> 7) * b mod 2^16, for
 * n = h[0] + 1, h[0] + 2, ... The one slot beyond 2^16 is the first backend's. All this is for good: another
 * choice would move every flow of a fleet in the middle of its upgrade.
 */
export function buildRing(backends: readonly RingBackend[]): Uint16Array {
  const turns = turnsOf(backends)
  return turns.length === 0 ? new Uint16Array(RING_SLOTS).fill(SLOT_NONE) : fillSlots(turns)
}

/** Of those with a positive weight, in order of identity; the owner is the index into `backends`. */
export function turnsOf(backends: readonly RingBackend[]): Turn[] {
  const order = backends
    .map(({ address, weight }, owner) => ({ owner, weight, identity: identify(address) }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => orderIdentities(a.identity, b.identity))
  const quotas = shareSlots(order.map(({ weight }) => weight))
  return order.map(({ owner, identity }, turn) => ({
    owner,
    quota: quotas[turn]!,
    ...preferenceOf(identity),
  }))
}

/** How many slots each backend has, as given: what `buildRing` gives out, without building it. */
export function countSlots(backends: readonly RingBackend[]): number[] {
  const order = [...backends.keys()].sort((a, b) =>
    compareIdentities(backends[a]!.address, backends[b]!.address),
  )
  const sorted = countSlotsOfSorted(order.map(index => backends[index]!))
  const counts = backends.map(() => 0)
  for (const [place, index] of order.entries()) counts[index] = sorted[place]!
  return counts
}

/**
 * As `countSlots`, for backends that are sorted by address already, as those of rows are: reads no address.
 */
export function countSlotsOfSorted(backends: readonly RingBackend[]): number[] {
  const quotas = shareSlots(backends.filter(({ weight }) => weight > 0).map(({ weight }) => weight))
  let turn = 0
  return backends.map(({ weight }) => (weight > 0 ? quotas[turn++]! : 0))
}

/** How many slots each positive weight gets: by largest remainder, ties to the first, at least one each. */
function shareSlots(weights: readonly number[]): Int32Array {
  const shares = new Int32Array(weights.length)
  let slots = RING_SLOTS
  let sharing = weights.map((weight, index) => ({ weight, index }))
  for (;;) {
    const total = sharing.reduce((sum, { weight }) => sum + weight, 0)
    const small = sharing.filter(({ weight }) => weight * slots < total)
    if (small.length === 0) break
    for (const { index } of small) shares[index] = 1
    slots -= small.length
    sharing = sharing.filter(({ index }) => shares[index] === 0)
  }
  const total = sharing.reduce((sum, { weight }) => sum + weight, 0)
  const remainders = sharing.map(({ weight, index }) => {
    shares[index] = Math.floor((weight * slots) / total)
    return { index, remainder: (weight * slots) % total }
  })
  const rest = slots - sharing.reduce((sum, { index }) => sum + shares[index]!, 0)
  remainders.sort((a, b) => b.remainder - a.remainder || a.index - b.index)
  for (const { index } of remainders.slice(0, rest)) shares[index]! += 1
  return shares
}
