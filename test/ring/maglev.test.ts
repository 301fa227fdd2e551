import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildRing, countSlots, type RingBackend, SLOT_NONE } from '../../reconciler/ring/maglev.ts'
import { createRingCache } from '../../reconciler/ring/ring-cache.ts'
import { ringDigest } from '../../reconciler/ring/ring-digest.ts'
import { compareAddresses } from '../../schemas/address.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'

const address = fc.oneof(
  fc.ipV4(),
  fc.integer({ min: 0, max: 0xfffe }).map(n => `2001:db8::${(n + 1).toString(16)}`),
)
const weight = fc.oneof(
  fc.constant(0),
  fc.constant(1),
  fc.integer({ min: 1, max: 100 }),
  fc.integer({ min: 0, max: 65535 }),
)

const backendsOf = (maxLength: number, weights = weight) =>
  fc.uniqueArray(fc.record({ address, weight: weights }), {
    selector: b => b.address,
    minLength: 1,
    maxLength,
  })

const equal = (count: number, first = 0): RingBackend[] =>
  Array.from({ length: count }, (_, i) => ({
    address: `10.0.${(first + i) >> 8}.${(first + i) & 255}`,
    weight: 1,
  }))

const slotsOf = (slots: Uint16Array, index: number): number => slots.filter(owner => owner === index).length

/** Whom every slot names, as text: what two rings are compared by. */
const named = (backends: readonly RingBackend[], slots: Uint16Array): (string | undefined)[] =>
  Array.from(slots, index => backends[index]?.address)

test('every weight has its exact share of the slots, within one, and never none', () => {
  fc.assert(
    fc.property(backendsOf(60), backends => {
      const slots = buildRing(backends)
      const counts = countSlots(backends)
      const total = backends.reduce((sum, b) => sum + b.weight, 0)
      const raised = backends.filter(b => b.weight > 0 && b.weight * RING_SLOTS < total).length
      for (const [index, { weight }] of backends.entries()) {
        const share = slotsOf(slots, index)
        assert.equal(share, counts[index])
        if (weight === 0) assert.equal(share, 0)
        else if (weight * RING_SLOTS < total) assert.equal(share, 1)
        else {
          const exact = (weight * RING_SLOTS) / total
          assert.ok(share >= 1 && Math.abs(share - exact) < 1 + raised, `${share} slots for ${exact}`)
        }
      }
      assert.equal(slotsOf(slots, SLOT_NONE), total === 0 ? RING_SLOTS : 0)
    }),
    { numRuns: 60 },
  )
})

test('the ring does not depend on the order in which backends are given (rule 4)', () => {
  const shuffled = backendsOf(40).chain(backends =>
    fc.tuple(
      fc.constant(backends),
      fc.shuffledSubarray(backends, { minLength: backends.length, maxLength: backends.length }),
    ),
  )
  fc.assert(
    fc.property(shuffled, ([one, other]) => {
      assert.deepEqual(named(one, buildRing(one)), named(other, buildRing(other)))
    }),
    { numRuns: 30 },
  )
})

test('removing one of N backends moves at most 1/N + 0.7% of the slots', () => {
  const removal = backendsOf(100, fc.constant(1))
    .filter(backends => backends.length > 1)
    .chain(backends => fc.tuple(fc.constant(backends), fc.nat({ max: backends.length - 1 })))
  fc.assert(
    fc.property(removal, ([backends, removed]) => {
      const rest = backends.filter((_, index) => index !== removed)
      const [before, after] = [named(backends, buildRing(backends)), named(rest, buildRing(rest))]
      const moved = before.filter((owner, slot) => owner !== after[slot]).length
      assert.ok(
        moved / RING_SLOTS <= 1 / backends.length + 0.007,
        `${moved} slots for 1 of ${backends.length}`,
      )
    }),
    // How much moves is a matter of chance in the addresses: the same ones every time.
    { numRuns: 60, seed: 65537 },
  )
})

test('a change of one weight among a hundred moves little more than the weight says', () => {
  const before = equal(100).map(backend => ({ ...backend, weight: 100 }))
  const after = before.map((backend, index) => (index === 41 ? { ...backend, weight: 150 } : backend))
  const [old, young] = [buildRing(before), buildRing(after)]
  const moved = old.filter((owner, slot) => owner !== young[slot]).length
  assert.ok(moved / RING_SLOTS < 0.005 + 0.007, `${moved} slots`)
})

test('the ring of known backends is what it always was', () => {
  const backends = [
    { address: '192.0.2.10', weight: 3 },
    { address: '192.0.2.9', weight: 1 },
    { address: '2001:db8::7', weight: 2 },
    { address: '198.51.100.1', weight: 0 },
  ]
  const digest = ringDigest(
    backends.map(b => b.address),
    buildRing(backends),
  )
  // A change here moves the flows of every fleet that upgrades node by node.
  assert.equal(digest, '17bfc12555bbba265ea6c2100b15648a6ea095d6adc3a026784999a530a959c8')
})

test('a single backend has every slot, and 1024 have 64 or 65 each', () => {
  assert.equal(slotsOf(buildRing(equal(1)), 0), RING_SLOTS)
  const slots = buildRing(equal(1024))
  for (const index of Array(1024).keys()) assert.ok([64, 65].includes(slotsOf(slots, index)))
})

test('nobody has a slot when all weights are 0, or when there are no backends', () => {
  const drained = equal(3).map(backend => ({ ...backend, weight: 0 }))
  for (const backends of [drained, []]) assert.ok(buildRing(backends).every(owner => owner === SLOT_NONE))
})

test('backends stand in order of their addresses as numbers, IPv4 first', () => {
  const addresses = ['10.0.0.10', '10.0.0.9', '::1', '9.255.255.255', '2001:db8::1']
  assert.deepEqual(addresses.toSorted(compareAddresses), [
    '9.255.255.255',
    '10.0.0.9',
    '10.0.0.10',
    '::1',
    '2001:db8::1',
  ])
})

test('a ring is computed once for the same backends, and forgotten when others push it out', () => {
  const ringOf = createRingCache(2)
  const first = ringOf(equal(3))
  assert.deepEqual(first, buildRing(equal(3)))
  ringOf(equal(4))
  assert.equal(ringOf(equal(3)), first)
  ringOf(equal(5))
  assert.equal(ringOf(equal(3)), first)
  ringOf(equal(4))
  ringOf(equal(5))
  assert.notEqual(ringOf(equal(3)), first)
})
