import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Member } from '../../../reconciler/drivers/xdp/layout.ts'
import { createNumbersInUse } from '../../../reconciler/drivers/xdp/numbers-in-use.ts'
import type { KnownRing } from '../../../reconciler/drivers/xdp/ring-store.ts'

const COUNTERS = 8
const breathe = async () => {}

const member = fc.record({
  address: fc.constant('10.0.0.1'),
  weight: fc.constant(1),
  // Somebody else may have written numbers that there are not.
  counter: fc.nat({ max: COUNTERS + 2 }),
  generation: fc.integer({ min: 1, max: 6 }),
})
const ring = fc.array(fc.option(member, { nil: undefined }), { maxLength: 5 }).map(
  // What else is in it nobody looks at.
  members => ({ members }) as unknown as KnownRing,
)

function lowestFree(used: readonly Member[], from: number): number | undefined {
  for (let counter = from; counter < COUNTERS; counter++)
    if (!used.some(each => each.counter === counter)) return counter
  return undefined
}

test('numbers in use are those of the rings that were followed last, whichever were before (rule 3)', async () => {
  const names = fc.constantFrom('a', 'b', 'c')
  // The same rings come back, since it is rings that did not change that are not looked at again.
  const histories = fc
    .array(ring, { minLength: 1, maxLength: 4 })
    .chain(rings => fc.array(fc.dictionary(names, fc.constantFrom(...rings)), { maxLength: 6 }))
  await fc.assert(
    fc.asyncProperty(histories, async history => {
      const numbers = createNumbersInUse()
      for (const rings of history) {
        await numbers.follow(new Map(Object.entries(rings)), COUNTERS, breathe)
        const used = Object.values(rings).flatMap(({ members }) => members.filter(each => each !== undefined))
        for (let from = 0; from <= COUNTERS; from++)
          assert.equal(numbers.freeCounter(from), lowestFree(used, from))
        for (let generation = 1; generation <= 6; generation++) {
          const has = used.some(each => each.generation === generation)
          assert.equal(numbers.hasGeneration(generation), has)
        }
      }
    }),
  )
})

test('with another number of counters all rings are looked at again', async () => {
  const numbers = createNumbersInUse()
  const known = new Map([['a', { members: [{ counter: 9, generation: 1 }] } as unknown as KnownRing]])
  await numbers.follow(known, 4, breathe)
  await numbers.follow(known, 16, breathe)
  assert.deepEqual([numbers.freeCounter(9), numbers.hasGeneration(1)], [10, true])
})
