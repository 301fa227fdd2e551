import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTableDigest, digestTable } from '../../reconciler/drivers/table-digest.ts'

const table = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'service/1', 'service/2'), fc.nat(3))

test('the digest of a table says whether its rows are the same, whatever was looked at before', () => {
  const rows = new Map<number, object>()
  const rowsOf = (values: Record<string, number>, shared: boolean): [string, object][] =>
    Object.entries(values).map(([key, value]) => {
      const row = (shared ? rows.get(value) : undefined) ?? { value }
      rows.set(value, row)
      return [key, row]
    })
  fc.assert(
    fc.property(fc.array(fc.tuple(table, fc.boolean(), fc.boolean()), { minLength: 2 }), looks => {
      const digest = createTableDigest()
      const digests = looks.map(([values, shared, turned]) => {
        const entries = rowsOf(values, shared)
        const found = digest(Object.fromEntries(turned ? entries.toReversed() : entries))
        assert.equal(found, createTableDigest()(Object.fromEntries(rowsOf(values, false))))
        assert.equal(found, digestTable(Object.fromEntries(rowsOf(values, false))))
        return found
      })
      const texts = looks.map(([values]) => JSON.stringify(Object.entries(values).sort()))
      for (const [one] of digests.entries())
        for (const [other] of digests.entries())
          assert.equal(digests[one] === digests[other], texts[one] === texts[other])
    }),
  )
})
