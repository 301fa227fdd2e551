import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignMembers, type Members } from '../../../reconciler/drivers/xdp/members.ts'
import type { RowBackend } from '../../../schemas/node-state.ts'

const pool = fc.uniqueArray(
  fc.record({ address: fc.integer({ min: 1, max: 12 }).map(n => `10.0.0.${n}`), weight: fc.nat({ max: 3 }) }),
  { selector: backend => backend.address, maxLength: 10 },
)

function createNumbers() {
  let generation = 0
  let counter = 100
  return { takeGeneration: () => ++generation, takeCounter: () => ++counter }
}

const addressesOf = (members: Members) => members.map(member => member?.address)

test('a backend that stays keeps its index, generation and counter; another one gets what nobody had', () => {
  const numbers = createNumbers()
  const backend = (address: string, weight = 1): RowBackend => ({ address, weight })
  const before = assignMembers([], [backend('10.0.0.1'), backend('10.0.0.2'), backend('10.0.0.3')], numbers)
  const after = assignMembers(before, [backend('10.0.0.3', 0), backend('10.0.0.9')], numbers)
  assert.deepEqual(addressesOf(after), ['10.0.0.9', undefined, '10.0.0.3'])
  assert.deepEqual(after[2], { ...before[2], weight: 0 })
  assert.deepEqual(after[0], { address: '10.0.0.9', weight: 1, generation: 2, counter: 104 })
})

test('a change of weights alone takes no new numbers', () => {
  const numbers = createNumbers()
  const before = assignMembers([], [{ address: '10.0.0.1', weight: 1 }], numbers)
  assignMembers(before, [{ address: '10.0.0.1', weight: 2 }], numbers)
  assert.deepEqual([numbers.takeGeneration(), numbers.takeCounter()], [2, 102])
})

test('in no history do an index and a generation ever mean two backends (rule 3)', () => {
  fc.assert(
    fc.property(fc.array(pool, { minLength: 2, maxLength: 20 }), history => {
      const numbers = createNumbers()
      const meaning = new Map<string, string>()
      let members: Members = []
      for (const backends of history) {
        members = assignMembers(members, backends, numbers)
        const present = members.filter(member => member !== undefined)
        assert.deepEqual(
          new Map(present.map(({ address, weight }) => [address, weight])),
          new Map(backends.map(({ address, weight }) => [address, weight])),
        )
        assert.equal(new Set(present.map(member => member.counter)).size, present.length)
        for (const [index, member] of members.entries()) {
          if (member === undefined) continue
          const name = `${index} ${member.generation}`
          assert.equal(meaning.get(name) ?? member.address, member.address)
          meaning.set(name, member.address)
        }
      }
    }),
  )
})
