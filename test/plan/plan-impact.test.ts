import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { makeFleetPlan, planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { recordTraffic } from '../../reconciler/plan/traffic-history.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { BgpRouteRow, NodeTables, RowBackend } from '../../schemas/node-state.ts'
import { anyTables, backend, serviceRow, tablesOf } from './rows.ts'

const KEY = 'service/203.0.113.1:80/tcp'
const web = (...backends: RowBackend[]) => tablesOf(serviceRow('203.0.113.1', backends))
const fleet = (...tables: NodeTables[]) => new Map(tables.map((each, index) => [`lb-${index + 1}`, each]))
const [a, b, c] = [backend('10.0.1.1'), backend('10.0.1.2'), backend('10.0.1.3')]

test('shares of each side add up to one or to nothing, and no less moves than is unavoidable', () => {
  fc.assert(
    fc.property(anyTables, anyTables, (before, after) => {
      const { services } = planFleet({
        base: null,
        head: null,
        before: fleet(before),
        after: fleet(after),
        names: {},
      })
      for (const { impact } of services) {
        const sum = (side: 'share_before' | 'share_after') =>
          impact.backends.reduce((total, each) => total + each[side], 0)
        for (const total of [sum('share_before'), sum('share_after')])
          assert.ok(total === 0 || Math.abs(total - 1) < 1e-9, String(total))
        assert.ok(impact.minimum <= impact.moved && impact.moved <= impact.slots)
        const moved = impact.moves.reduce((total, { slots }) => total + slots, 0)
        assert.equal(moved + impact.moves_cut, impact.moved)
        for (const { from, to } of impact.moves) assert.notEqual(from, to)
      }
    }),
    { numRuns: 20 },
  )
})

const counters = (node: string, connections: Readonly<Record<string, number>>): NodeCounters => ({
  version: 1,
  node,
  at: 1_000,
  services: {
    [KEY]: Object.entries(connections).map(([address, live]) => ({
      address,
      packets: 0,
      bytes: 0,
      newFlows: 0,
      connections: live,
    })),
  },
  liveFlows: 0,
})

function planLive(before: Map<string, NodeTables>, after: Map<string, NodeTables>) {
  const record = recordTraffic(null, {
    at: 1_000,
    rates: new Map([
      ['10.0.1.1', 500],
      ['10.0.1.2', 300],
      ['10.0.1.3', 200],
    ]),
  })
  const side = { names: { [KEY]: 'web' }, manifests: null }
  return makeFleetPlan({
    before: { ...side, revision: null, nodes: before },
    after: { ...side, revision: '2'.repeat(40), nodes: after },
    observed: {
      at: 1_000,
      nodes: before,
      traffic: {
        counters: new Map([
          ['lb-1', counters('lb-1', { '10.0.1.1': 60, '10.0.1.2': 30, '10.0.1.3': 10 })],
          ['lb-2', counters('lb-2', { '10.0.1.1': 100 })],
        ]),
        records: new Map([[KEY, record]]),
      },
      revision: '1'.repeat(40),
      lastApplyMs: 120,
    },
  }).plan
}

test('flows of a backend that leaves must end, those of a drained one stay, and who stays carries the rest', () => {
  const made = planLive(fleet(web(a, b, c)), fleet(web(backend('10.0.1.1', 0), b)))
  const live = made.services[0]!.live!
  assert.deepEqual(
    { ...live, load: live.load.map(each => ({ ...each, at_peak: each.at_peak?.toFixed(2) })) },
    {
      nodes_read: 1,
      flows: 100,
      flows_lost: 0.1,
      connections_ended: 10,
      packets_per_second: 1000,
      packets_lost: 0.2,
      load: [{ address: '10.0.1.2', now: 1000 / 300, at_peak: '3.33' }],
    },
  )
  assert.ok(made.services[0]!.risk.includes('load-above-peak'))
  assert.ok(made.services[0]!.risk.includes('flows-cut'))
  assert.deepEqual(made.duration, { expected: 120, basis: 'measured', waits: [] })
  assert.equal(
    made.revert,
    `git restore --source=${'1'.repeat(40)} --staged --worktree -- . && git commit -m 'Back to 111111111111' && git push`,
  )
})

test('a node that has not reported is named, and a service that goes takes all of its flows', () => {
  const before = fleet(web(a, b, c))
  const made = planLive(before, fleet(tablesOf(), web(a)))
  assert.deepEqual(made.live?.nodes_silent, ['lb-2'])
  const gone = made.services.find(({ change }) => change === 'delete')!
  assert.deepEqual([gone.live?.flows_lost, gone.live?.packets_lost], [1, 1])
  assert.deepEqual(gone.risk, ['flows-cut', 'nodes-removed'])
})

test('rows that nodes hold otherwise than the base says are named, when the plan touches them', () => {
  const side = { names: {}, manifests: null }
  const { plan } = makeFleetPlan({
    before: { ...side, revision: '1'.repeat(40), nodes: fleet(web(a, b), web(a, b)) },
    after: { ...side, revision: '2'.repeat(40), nodes: fleet(web(a, b, c), web(a, b, c)) },
    observed: {
      at: 5,
      nodes: fleet(web(a, b), web(a)),
      traffic: { counters: new Map(), records: new Map() },
      revision: '1'.repeat(40),
      lastApplyMs: null,
    },
  })
  assert.deepEqual(plan.live?.differs, [{ key: KEY, nodes: ['lb-2'] }])
})

const route = (prefix: string, peers: string[] = ['router']): BgpRouteRow => ({
  kind: 'route',
  prefix,
  peers,
  communities: [],
  largeCommunities: [],
  med: null,
  localPreference: null,
  prepend: 0,
})
const announcing = (tables: NodeTables, ...routes: BgpRouteRow[]): NodeTables => ({
  ...tables,
  bgp: Object.fromEntries(routes.map(row => [`route/${row.prefix}`, row])),
})

test('the last announcer of a prefix is told, on the prefix and on every service behind it', () => {
  const prefix = route('203.0.113.0/24')
  const plan = (...after: NodeTables[]) =>
    planFleet({
      base: null,
      head: null,
      before: fleet(announcing(web(a), prefix), announcing(web(a), prefix)),
      after: fleet(...after),
      names: {},
    })
  const one = plan(announcing(web(a), prefix), web(a))
  assert.deepEqual(one.announcements, [
    {
      prefix: '203.0.113.0/24',
      announced_on: [],
      withdrawn_on: ['lb-2'],
      before: 2,
      after: 1,
      last_announcer: false,
    },
  ])
  assert.equal(one.risk.severity, null)
  const none = plan(announcing(web(a, b), route('203.0.113.0/24', [])), web(a, b))
  assert.equal(none.announcements[0]?.last_announcer, true)
  assert.equal(none.services[0]?.risk[0], 'last-announcer')
  assert.equal(none.risk.severity, 'high')
  assert.match(none.risk.line, /^high risk: last-announcer \(/)
})

test('a manifest with another name, and a service at another VIP or port, are recognised', () => {
  const names = (name: string) => ({ [KEY]: name, 'service/203.0.113.9:80/tcp': name })
  const plan = (after: NodeTables, name: string) =>
    makeFleetPlan({
      before: { revision: null, nodes: fleet(web(a)), names: names('old'), manifests: null },
      after: { revision: null, nodes: fleet(after), names: names(name), manifests: null },
    }).plan
  const renamed = plan(web(a), 'new').services[0]!
  assert.deepEqual([renamed.change, renamed.renamed_from?.service], ['unchanged', 'old'])
  const moved = plan(tablesOf(serviceRow('203.0.113.9', [a])), 'old').services
  assert.deepEqual(
    moved.map(({ change, renamed_from }) => [change, renamed_from?.vip]),
    [
      ['delete', undefined],
      ['create', '203.0.113.1'],
    ],
  )
})
