import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeFleetPlan } from '../../reconciler/plan/plan-fleet.ts'
import { describeMoved, keepPlan, nearestPlan, needsReview } from '../../reconciler/plan/reviewed-plan.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { ReviewedPlan } from '../../schemas/reviewed-plan.ts'
import { backend, serviceRow, tablesOf } from './rows.ts'

const hosts = (...last: number[]) => last.map(host => backend(`10.0.1.${host}`))
const web = (...last: number[]) => serviceRow('203.0.113.1', hosts(...last))
const api = (...last: number[]) => serviceRow('203.0.113.2', hosts(...last))
const make = (before: NodeTables, after: NodeTables) => {
  const side = { revision: null, names: {}, manifests: null }
  return makeFleetPlan({
    before: { ...side, nodes: new Map([['lb-1', before]]) },
    after: { ...side, nodes: new Map([['lb-1', after]]) },
  })
}

const nothing = make(tablesOf(web(1)), tablesOf(web(1)))
const more = make(tablesOf(web(1, 2)), tablesOf(web(1, 2, 3)))
const half = make(tablesOf(web(1, 2)), tablesOf(web(1)))

test('what a policy asks to be reviewed', () => {
  const needed = (['never', 'risky', 'always'] as const).map(policy =>
    [nothing, more, half].map(made => needsReview(policy, made)),
  )
  assert.deepEqual(needed, [
    [false, false, false],
    [false, false, true],
    [false, true, true],
  ])
})

test('what moved between two plans is said by row', () => {
  const reviewed = make(tablesOf(web(1, 2), api(1)), tablesOf(web(1), api(1, 2)))
  const made = make(
    tablesOf(web(1, 2, 3), api(1)),
    tablesOf(web(1), api(1), serviceRow('203.0.113.3', hosts(1))),
  )
  assert.equal(
    describeMoved(reviewed.parts, made.parts),
    'xdp service/203.0.113.3:80/tcp: was not in it; xdp service/203.0.113.2:80/tcp: is not in this one; ' +
      'xdp service/203.0.113.1:80/tcp: starts from, or leads to, something else, or is on other nodes',
  )
  assert.equal(describeMoved(made.parts, made.parts), '')
})

test('of several reviewed plans the one that is most like it is compared', () => {
  const kept = [half, more, make(tablesOf(api(1)), tablesOf(api(2)))].map((made, at) =>
    keepPlan(made, 'plan', at),
  )
  assert.equal(nearestPlan(kept, half.parts)?.digest, half.plan.digest)
  assert.equal(nearestPlan(kept.slice(2), half.parts), null)
  for (const plan of kept) assert.deepEqual(ReviewedPlan.parse(JSON.parse(JSON.stringify(plan))), plan)
})
