import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { diffNode } from '../../reconciler/plan/diff.ts'
import { foldEdits } from '../../reconciler/plan/fold-edits.ts'
import { digestEdits } from '../../reconciler/plan/plan-digest.ts'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { DriverName, emptyTables, type NodeTables } from '../../schemas/node-state.ts'
import { anyTables, backend, serviceRow, settingsRow, tablesOf } from './rows.ts'

/** Some nodes share tables, some have equal ones of their own, some come or go. */
const anyFleets = fc
  .array(anyTables, { minLength: 1, maxLength: 3 })
  .chain(kinds =>
    fc.array(
      fc.tuple(fc.nat(kinds.length), fc.nat(kinds.length), fc.boolean()).map(([was, is, isCopy]) => ({
        before: pick(kinds, was, isCopy),
        after: pick(kinds, is, isCopy),
      })),
      { maxLength: 6 },
    ),
  )
  .map(nodes => ({
    before: fleetOf(nodes.map(({ before }) => before)),
    after: fleetOf(nodes.map(({ after }) => after)),
  }))

/** Beyond the last: not there. */
const pick = (kinds: readonly NodeTables[], index: number, isCopy: boolean): NodeTables | null => {
  const tables = kinds[index] ?? null
  return tables !== null && isCopy ? structuredClone(tables) : tables
}

const fleetOf = (tables: readonly (NodeTables | null)[]): Map<string, NodeTables> =>
  new Map(tables.flatMap((each, index) => (each === null ? [] : [[`lb-${index}`, each] as const])))

test('folded edits, unfolded, are those of every node by itself', () => {
  fc.assert(
    fc.property(anyFleets, ({ before, after }) => {
      const names = new Set([...before.keys(), ...after.keys()])
      const single = [...names].flatMap(node => {
        const edits = diffNode(after.get(node) ?? emptyTables(), before.get(node) ?? emptyTables())
        return DriverName.options.flatMap(driver => edits[driver].map(edit => ({ node, driver, edit })))
      })
      const unfolded = foldEdits(before, after).edits.flatMap(({ nodes, driver, edit }) =>
        nodes.map(node => ({ node, driver, edit })),
      )
      const sorted = (list: readonly unknown[]) => list.map(each => JSON.stringify(each)).sort()
      assert.deepEqual(sorted(unfolded), sorted(single))
    }),
  )
})

test('no edit is told twice for the same nodes', () => {
  fc.assert(
    fc.property(anyFleets, ({ before, after }) => {
      const { edits } = foldEdits(before, after)
      const ids = edits.map(({ driver, edit }) => JSON.stringify([driver, edit]))
      assert.equal(new Set(ids).size, ids.length)
    }),
  )
})

test('a digest does not depend on the order of nodes and rows, on who shares what, on names, or on revisions', () => {
  fc.assert(
    fc.property(anyFleets, ({ before, after }) => {
      const turned = (fleet: Map<string, NodeTables>) =>
        new Map(
          [...fleet]
            .reverse()
            .map(([node, { xdp, ipvs, bgp }]) => [
              node,
              structuredClone({ xdp: Object.fromEntries(Object.entries(xdp).reverse()), ipvs, bgp }),
            ]),
        )
      const one = planFleet({ base: null, head: null, before, after, names: {} })
      const two = planFleet({
        base: '1'.repeat(40),
        head: '2'.repeat(40),
        before: turned(before),
        after: turned(after),
        names: { 'service/203.0.113.1:80/tcp': 'web' },
      })
      assert.equal(one.digest, two.digest)
    }),
  )
})

test('a digest depends on every edit and on every node', () => {
  const a = serviceRow('203.0.113.1', [backend('10.0.1.1')])
  const digestOf = (...nodes: [string, NodeTables, NodeTables][]) => {
    const before = new Map(nodes.map(([node, was]) => [node, was]))
    const after = new Map(nodes.map(([node, , is]) => [node, is]))
    return digestEdits(foldEdits(before, after).edits).digest
  }
  const [was, is] = [tablesOf(a), tablesOf({ ...a, backends: [backend('10.0.1.2')] })]
  const other = tablesOf({ ...a, backends: [backend('10.0.1.3')] })
  const digests = [
    digestOf(['lb-1', was, is]),
    digestOf(['lb-2', was, is]),
    digestOf(['lb-1', was, is], ['lb-2', was, is]),
    digestOf(['lb-1', was, other]),
    digestOf(['lb-1', other, is]),
    digestOf(['lb-1', is, was]),
    digestOf(['lb-1', tablesOf(a, settingsRow()), is]),
    digestOf(['lb-1', was, was]),
  ]
  assert.equal(new Set(digests).size, digests.length)
})

test('slots that a node was found to have wrong are no part of what was reviewed', () => {
  const right = serviceRow('203.0.113.1', [backend('10.0.1.1')])
  const wrong = { ...right, ring: { slots: 65537, differing: 3 } }
  const after = new Map([['lb-1', tablesOf({ ...right, backends: [backend('10.0.1.2')] })]])
  const digests = [right, wrong].map(
    row => digestEdits(foldEdits(new Map([['lb-1', tablesOf(row)]]), after).edits).digest,
  )
  assert.equal(digests[0], digests[1])
})
