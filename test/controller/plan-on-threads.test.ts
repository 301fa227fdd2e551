import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planOnThreads } from '../../reconciler/controller/plan-on-threads.ts'
import { foldEdits } from '../../reconciler/plan/fold-edits.ts'
import { makeFleetPlan, type PlanSide, preparePlan } from '../../reconciler/plan/plan-fleet.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { backend, serviceRow, tablesOf } from '../plan/rows.ts'

const side = (nodes: Record<string, NodeTables>): PlanSide => ({
  revision: null,
  nodes: new Map(Object.entries(nodes)),
  names: {},
  manifests: null,
})

/** Services of two backends each, of which the first has another weight from service to service. */
const servicesOf = (count: number, weight: number, ...more: Parameters<typeof tablesOf>): NodeTables =>
  tablesOf(
    ...Array.from({ length: count }, (_, index) =>
      serviceRow(`203.0.113.${index}`, [backend('10.0.1.1', weight + index), backend(`10.0.2.${index}`)]),
    ),
    ...more,
  )

test('a plan whose rings are compared on threads is the same plan', async () => {
  const gone = serviceRow('203.0.113.200', [backend('10.0.1.1')])
  const before = side({ 'lb-1': servicesOf(30, 100, gone), 'lb-2': servicesOf(30, 120) })
  const after = side({ 'lb-1': servicesOf(30, 50), 'lb-2': servicesOf(31, 50) })
  const made = await planOnThreads({ before, after }, 1)
  assert.deepEqual(made, makeFleetPlan({ before, after }))
  assert.equal(made.plan.services.filter(({ impact }) => impact.moved > 0).length, 60)
})

test('where one service of many changes, the rings of that one alone are compared', () => {
  const before = side({ 'lb-1': servicesOf(50, 100) })
  const tables = servicesOf(50, 100)
  const [key] = Object.keys(tables.xdp)
  const changed = servicesOf(50, 90).xdp[key!]!
  const after = side({ 'lb-1': { ...before.nodes.get('lb-1')!, xdp: { ...tables.xdp, [key!]: changed } } })
  let compared = 0
  const finish = preparePlan({ before, after }, foldEdits(before.nodes, after.nodes))
  const { plan } = finish(() => {
    compared++
    return { moved: 1, minimum: 1, moves: [] }
  })
  assert.equal(plan.totals.update, 1)
  assert.equal(compared, 1)
})
