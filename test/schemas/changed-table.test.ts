import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTableDigest, digestTable } from '../../reconciler/drivers/table-digest.ts'
import { diffNode } from '../../reconciler/plan/diff.ts'
import { changedKeys, changeTable, type TableChange } from '../../schemas/changed-table.ts'
import { emptyTables, type Table, type XdpRow } from '../../schemas/node-state.ts'
import { backend, serviceRow } from '../plan/rows.ts'

const KEYS = ['a', 'b', 'c', 'd', 'constructor'].map(name => `service/${name}`)

const anyRow = fc
  .constantFrom(1, 2, 3)
  .map(weight => serviceRow('203.0.113.1', [backend('10.0.1.1', weight)]))
const anyPut: fc.Arbitrary<XdpTable> = fc.dictionary(fc.constantFrom(...KEYS), anyRow, { maxKeys: 3 })
const anyChange = fc.record({
  put: anyPut,
  removed: fc.uniqueArray(fc.constantFrom(...KEYS), { maxLength: 2 }),
  /** Whether somebody goes over all of the table then. */
  isRead: fc.boolean(),
})
/** More than stand one behind the other. */
const anyChanges = fc.array(anyChange, { maxLength: 80 })

type XdpTable = Table<XdpRow>
type Change = TableChange<XdpRow> & { readonly isRead: boolean }

function* changesOf(table: XdpTable, changes: readonly Change[]): Generator<[XdpTable, XdpTable]> {
  let [made, plain] = [table, table]
  for (const { put, removed, isRead } of changes) {
    made = changeTable(made, { put, removed })
    const next: Record<string, XdpRow> = { ...plain, ...put }
    for (const key of removed) delete next[key]
    plain = next
    if (isRead) assert.deepEqual(Object.keys(made).sort(), Object.keys(plain).sort())
    yield [made, plain]
  }
}

test('a table that changes were made to has the rows that any table with them has', () => {
  fc.assert(
    fc.property(anyPut, anyChanges, (first, changes) => {
      for (const [made, plain] of changesOf(first, changes)) {
        for (const key of KEYS) assert.equal(made[key], plain[key])
      }
      for (const [made, plain] of changesOf(first, changes)) {
        assert.deepEqual({ ...made }, plain)
        assert.equal(
          JSON.stringify(Object.entries(made).sort()),
          JSON.stringify(Object.entries(plain).sort()),
        )
        for (const key of KEYS) assert.equal(key in made, key in plain)
      }
    }),
    { numRuns: 30 },
  )
})

test('the keys that changed since an earlier table are those that differ, and maybe more', () => {
  fc.assert(
    fc.property(anyPut, anyChanges, (first, changes) => {
      const all = [first, ...Array.from(changesOf(first, changes), ([made]) => made)]
      for (const [at, after] of all.entries())
        for (const before of all.slice(Math.max(0, at - 3), at + 1)) {
          const changed = changedKeys(before, after)
          assert.ok(changed !== null)
          for (const key of KEYS) assert.ok(before[key] === after[key] || changed.has(key))
        }
    }),
    { numRuns: 30 },
  )
})

test('nobody can change a table that others are made of', () => {
  const table = changeTable<XdpRow>({}, { put: { a: serviceRow('203.0.113.1', []) }, removed: [] })
  assert.throws(() => Object.assign(table, { b: null }), TypeError)
  assert.throws(() => Reflect.deleteProperty(table, 'a') || assert.fail('refused'), /refused/)
})

test('differences and digests of tables that changes were made to are those of any tables with the same rows', () => {
  const copy = (table: XdpTable): XdpTable =>
    Object.fromEntries(Object.entries(structuredClone({ ...table })))
  fc.assert(
    fc.property(anyPut, anyChanges, anyPut, anyChanges, (desired, ones, observed, others) => {
      const digest = createTableDigest()
      const [wanted, seen] = [[...changesOf(desired, ones)], [...changesOf(observed, others)]]
      let left = desired
      let right = observed
      for (let step = 0; step < Math.max(wanted.length, seen.length); step++) {
        // Now one goes on, now the other, now both.
        if (step % 3 !== 0) left = wanted[step]?.[0] ?? left
        if (step % 3 !== 1) right = seen[step]?.[0] ?? right
        const tables = (xdp: XdpTable) => ({ ...emptyTables(), xdp })
        assert.deepEqual(
          diffNode(tables(left), tables(right)),
          diffNode(tables(copy(left)), tables(copy(right))),
        )
        assert.equal(digest(right), digestTable(copy(right)))
      }
    }),
    { numRuns: 30 },
  )
})
