import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PartedMap } from '../../../reconciler/drivers/xdp/parted-map.ts'

const key = fc.oneof(fc.nat(200), fc.string({ maxLength: 3 }))
const entries = fc.array(fc.tuple(key, fc.option(fc.nat(9), { nil: undefined })))

const sorted = (items: Iterable<unknown>): string[] => [...items].map(item => JSON.stringify(item)).sort()

test('a map in parts has what a map has that is changed in the same way, and stays as it is when another is made of it', () => {
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 6 }), changes => {
      const plain = new Map<number | string, number>()
      let parted = PartedMap.of(plain)
      for (const change of changes) {
        const [before, contents] = [parted, sorted(parted)]
        parted = before.with(change)
        for (const [name, value] of change) {
          if (value === undefined) plain.delete(name)
          else plain.set(name, value)
        }
        assert.deepEqual(sorted(before), contents)
      }
      assert.equal(parted.size, plain.size)
      assert.deepEqual(sorted(parted), sorted(plain))
      assert.deepEqual(sorted(parted.keys()), sorted(plain.keys()))
      assert.deepEqual(sorted(parted.values()), sorted(plain.values()))
      const visited: unknown[] = []
      parted.forEach((value, name) => {
        visited.push([name, value])
      })
      assert.deepEqual(sorted(visited), sorted(plain))
      for (const name of [...plain.keys(), ...changes.flat().map(([each]) => each)]) {
        assert.equal(parted.get(name), plain.get(name))
        assert.equal(parted.has(name), plain.has(name))
      }
    }),
  )
})
