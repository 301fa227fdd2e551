import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fillSlots, MAX_TURNS, type Turn } from '../../reconciler/ring/fill-slots.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { fillSlotsOneByOne } from './fill-slots-oracle.ts'

const word = fc.integer({ min: 0, max: 0xffff })
const odd = word.map(n => n | 1)

/** Turns that share all slots in parts as uneven as these; each has one at least. */
function turnsOf(parts: readonly (Pick<Turn, 'start' | 'a' | 'b'> & { readonly part: number })[]): Turn[] {
  const total = parts.reduce((sum, { part }) => sum + part, 0)
  const shared = RING_SLOTS - parts.length
  let given = 0
  return parts.map(({ part, ...preference }, index) => {
    const more = index === parts.length - 1 ? shared - given : Math.floor((shared * part) / total)
    given += more
    return { owner: MAX_TURNS - 1 - index, quota: 1 + more, ...preference }
  })
}

const parts = (part: fc.Arbitrary<number>, minLength: number, maxLength: number) =>
  fc.array(fc.record({ part, start: word, a: odd, b: odd }), { minLength, maxLength })

const kinds: [title: string, turns: ReturnType<typeof parts>, numRuns: number][] = [
  ['one', parts(fc.constant(1), 1, 1), 10],
  ['a few equal ones', parts(fc.constant(1), 2, 20), 30],
  ['as many as a prime', parts(fc.constant(1), 257, 257), 5],
  ['up to a hundred of uneven weight', parts(fc.integer({ min: 1, max: 100 }), 2, 100), 40],
  [
    'some that have next to nothing beside one that has the rest',
    parts(fc.constantFrom(1, 1, 60_000), 2, 30),
    20,
  ],
  ['as many as a service may have, of any weight', parts(fc.integer({ min: 1, max: 65_535 }), 1024, 1024), 5],
]
for (const [title, turns, numRuns] of kinds)
  test(`turns get the slots that they get one by one: ${title}`, () => {
    fc.assert(
      fc.property(turns, given => {
        const list = turnsOf(given)
        assert.deepEqual(fillSlots(list), fillSlotsOneByOne(list))
      }),
      { numRuns },
    )
  })

test('turns that prefer the same slots in the same order get what they get one by one', () => {
  for (const [a, b] of [
    [1, 1],
    [0xffff, 0xffff],
    [1, 0x8001],
  ] as const) {
    const list = turnsOf(Array.from({ length: 40 }, () => ({ part: 1, start: 0, a, b })))
    assert.deepEqual(fillSlots(list), fillSlotsOneByOne(list))
  }
})

test('65,535 turns of one slot or two get what they get one by one', () => {
  const mixed = (n: number): number => Math.imul(n, 0x9e3779b1) >>> 16
  const list = turnsOf(
    Array.from({ length: MAX_TURNS }, (_, n) => ({
      part: 1,
      start: mixed(n),
      a: mixed(n + 1e6) | 1,
      b: mixed(n + 2e6) | 1,
    })),
  )
  assert.deepEqual(fillSlots(list), fillSlotsOneByOne(list))
})

test('no turn, or more than fit, is refused', () => {
  const turn: Turn = { owner: 0, quota: 1, start: 0, a: 1, b: 1 }
  assert.throws(() => fillSlots([]), RangeError)
  assert.throws(() => fillSlots(Array(MAX_TURNS + 1).fill(turn)), RangeError)
})

test('a ring that was given out is not written to by the next', () => {
  const [one, other] = [1, 2].map(owner => [{ owner, quota: RING_SLOTS, start: 5, a: 3, b: 7 }])
  const slots = fillSlots(one!)
  fillSlots(other!)
  assert.ok(slots.every(owner => owner === 1))
})
