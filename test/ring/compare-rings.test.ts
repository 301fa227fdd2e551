import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { compareRings, type SlotMove } from '../../reconciler/ring/compare-rings.ts'
import { buildRing, countSlots, type RingBackend, SLOT_NONE } from '../../reconciler/ring/maglev.ts'
import { createRingComparer } from '../../reconciler/ring/ring-comparer.ts'
import { ringDigest } from '../../reconciler/ring/ring-digest.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'

const backendsOf = (weights: Readonly<Record<string, number>>) =>
  Object.entries(weights).map(([address, weight]) => ({ address, weight }))

const weights = fc.dictionary(fc.ipV4(), fc.integer({ min: 0, max: 9 }), { minKeys: 1, maxKeys: 12 })

test('the same backends in another order have not moved', () => {
  const backends = backendsOf({ '10.0.0.1': 1, '10.0.0.2': 2, '10.0.0.3': 0 })
  const { moved, minimum, moves } = compareRings(backends, backends.toReversed())
  assert.deepEqual({ moved, minimum, moves }, { moved: 0, minimum: 0, moves: [] })
})

test('a ring under other indexes, with another member without slots, has the same digest (rule 4)', () => {
  const slots = buildRing(backendsOf({ '10.0.0.1': 1, '10.0.0.2': 2, '10.0.0.3': 0 }))
  const elsewhere = slots.map(index => (index === 0 ? 2 : 0))
  const digest = ringDigest(['10.0.0.1', '10.0.0.2', '10.0.0.3'], slots)
  assert.equal(ringDigest(['10.0.0.2', '10.0.0.9', '10.0.0.1'], elsewhere), digest)
})

test('one slot in other hands is another digest', () => {
  const slots = buildRing(backendsOf({ '10.0.0.1': 1, '10.0.0.2': 1 }))
  const addresses = ['10.0.0.1', '10.0.0.2']
  assert.notEqual(ringDigest(addresses, slots.with(7, 1 - slots[7]!)), ringDigest(addresses, slots))
})

test('draining everyone moves every slot to nobody, and cannot do with less', () => {
  const comparison = compareRings(backendsOf({ '10.0.0.1': 1 }), backendsOf({ '10.0.0.1': 0 }))
  assert.deepEqual(comparison, {
    slots: RING_SLOTS,
    moved: RING_SLOTS,
    minimum: RING_SLOTS,
    backends: [
      { address: '10.0.0.1', before: RING_SLOTS, after: 0 },
      { address: null, before: 0, after: RING_SLOTS },
    ],
    moves: [{ from: '10.0.0.1', to: null, slots: RING_SLOTS }],
  })
})

test('shares, moves and the minimum add up', () => {
  fc.assert(
    fc.property(weights, weights, (one, other) => {
      const [before, after] = [backendsOf(one), backendsOf(other)]
      const { moved, minimum, backends, moves } = compareRings(before, after)
      const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)
      assert.equal(sum(backends.map(b => b.before)), RING_SLOTS)
      assert.equal(sum(backends.map(b => b.after)), RING_SLOTS)
      assert.ok(minimum <= moved)
      const slots = countSlots(before)
      for (const { address, before: had, after: has } of backends) {
        const gained = sum(moves.filter(m => m.to === address).map(m => m.slots))
        const lost = sum(moves.filter(m => m.from === address).map(m => m.slots))
        assert.equal(had - lost + gained, has)
        const index = before.findIndex(backend => backend.address === address)
        if (index >= 0) assert.equal(had, slots[index])
      }
    }),
    { numRuns: 25 },
  )
})

/** Slot by slot, from the rings as they are given out. */
function moveSlots(before: readonly RingBackend[], after: readonly RingBackend[]): Map<string, number> {
  const [old, young] = [buildRing(before), buildRing(after)]
  const nameOf = (backends: readonly RingBackend[], index: number) =>
    index === SLOT_NONE ? null : backends[index]!.address
  const moves = new Map<string, number>()
  for (let slot = 0; slot < RING_SLOTS; slot++) {
    const [from, to] = [nameOf(before, old[slot]!), nameOf(after, young[slot]!)]
    if (from !== to) moves.set(`${from} ${to}`, (moves.get(`${from} ${to}`) ?? 0) + 1)
  }
  return moves
}

const counted = (moves: readonly SlotMove[]) =>
  new Map(moves.map(({ from, to, slots }) => [`${from} ${to}`, slots]))

test('moves are those of the two rings, slot by slot', () => {
  fc.assert(
    fc.property(weights, weights, (one, other) => {
      const [before, after] = [backendsOf(one), backendsOf(other)]
      assert.deepEqual(counted(compareRings(before, after).moves), moveSlots(before, after))
    }),
    { numRuns: 25 },
  )
})

test('moves between more pairs of backends than are counted at once are those of the two rings', () => {
  const many = (first: number): RingBackend[] =>
    Array.from({ length: 700 }, (_, n) => ({
      address: `10.0.${first + (n >> 8)}.${n & 255}`,
      weight: 1 + (n % 5),
    }))
  const [before, after] = [many(0), many(1)]
  // What `deepEqual` says of so many that differ takes minutes.
  assert.ok(isDeepStrictEqual(counted(compareRings(before, after).moves), moveSlots(before, after)))
})

test('a comparison is made once for the same backends, and forgotten when others push it out', () => {
  const compare = createRingComparer(2)
  const pairOf = (weight: number) =>
    [backendsOf({ '10.0.0.1': 1 }), backendsOf({ '10.0.0.1': 1, '10.0.0.2': weight })] as const
  const first = compare(...pairOf(1))
  assert.equal(compare(...pairOf(1)), first)
  compare(...pairOf(2))
  compare(...pairOf(3))
  assert.notEqual(compare(...pairOf(1)), first)
  assert.deepEqual(compare(...pairOf(1)), first)
})
