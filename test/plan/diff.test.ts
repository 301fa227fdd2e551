import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareAhead, diffNode, diffTable, isEmpty } from '../../reconciler/plan/diff.ts'
import type { Edit } from '../../schemas/edit.ts'
import type { Table } from '../../schemas/node-state.ts'
import { anyTables, backend, interfaceRow, serviceRow, tablesOf } from './rows.ts'

const applyEdits = <Row>(table: Table<Row>, edits: readonly Edit<Row>[]): Table<Row> => {
  const rows = new Map(Object.entries(table))
  for (const edit of edits) {
    if (edit.op === 'delete') rows.delete(edit.key)
    else rows.set(edit.key, edit.after)
  }
  return Object.fromEntries(rows)
}

test('from any observed state, applying the edits gives the desired state', () => {
  fc.assert(
    fc.property(anyTables, anyTables, (desired, observed) => {
      assert.deepEqual(applyEdits(observed.xdp, diffTable(desired.xdp, observed.xdp)), desired.xdp)
    }),
  )
})

test('a state differs from itself in nothing, however its keys are ordered', () => {
  fc.assert(
    fc.property(anyTables, tables => {
      const reversed = { ...tables, xdp: Object.fromEntries(Object.entries(tables.xdp).reverse()) }
      assert.equal(isEmpty(diffNode(tables, structuredClone(reversed))), true)
    }),
  )
})

test('what was compared ahead, one row at each step, gives the same edits', () => {
  fc.assert(
    fc.property(anyTables, anyTables, (desired, observed) => {
      const [ahead, edits] = [structuredClone(desired), diffNode(desired, observed)]
      const steps = [...compareAhead(ahead, observed)].length
      const both = (['xdp', 'ipvs', 'bgp'] as const).flatMap(driver =>
        Object.keys(desired[driver]).filter(key => observed[driver][key] !== undefined),
      )
      assert.equal(steps, both.length)
      assert.deepEqual(diffNode(ahead, observed), edits)
    }),
  )
})

test('the edits back are the opposite of the edits there', () => {
  const opposite = { create: 'delete', delete: 'create', update: 'update' } as const
  fc.assert(
    fc.property(anyTables, anyTables, (a, b) => {
      const there = diffTable(a.xdp, b.xdp).map(({ key, op }) => [key, op])
      const back = diffTable(b.xdp, a.xdp).map(({ key, op }) => [key, opposite[op]])
      assert.deepEqual(there, back)
    }),
  )
})

test('an interface that may attach in any mode is content with the mode it got', () => {
  for (const mode of ['native', 'generic'] as const) {
    assert.equal(isEmpty(diffNode(tablesOf(interfaceRow('auto')), tablesOf(interfaceRow(mode)))), true)
  }
})

test('an interface that must be native is not content with generic', () => {
  const { xdp } = diffNode(tablesOf(interfaceRow('native')), tablesOf(interfaceRow('generic')))
  assert.deepEqual(
    xdp.map(({ op, key }) => [op, key]),
    [['update', 'interface/eth0']],
  )
})

test('one slot that is not as the backends would have it is a change', () => {
  const wanted = serviceRow('203.0.113.1', [backend('10.0.1.1')])
  const found = { ...wanted, ring: { slots: 65537, differing: 1 } }
  assert.equal(diffNode(tablesOf(wanted), tablesOf(found)).xdp[0]?.op, 'update')
})
