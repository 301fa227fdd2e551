import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDriftCollector } from '../../reconciler/controller/fleet-drift.ts'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { describeDrift } from '../../reconciler/drift/describe-drift.ts'
import { findUnreachable } from '../../reconciler/drift/find-fleet-drift.ts'
import { nameDrift } from '../../reconciler/drift/name-drift.ts'
import { Resource } from '../../schemas/manifest/resource.ts'
import type { NodeReport } from '../../schemas/report.ts'

const resource = (kind: string, name: string, spec: object) =>
  Resource.parse({ apiVersion: 'ballast.dev/v1', kind, metadata: { name }, spec })
const fleet = buildDesired([
  resource('Fleet', 'demo', {}),
  ...['lb-1', 'lb-2', 'lb-3', 'lb-4'].map(name => resource('Node', name, { interfaces: [{ name: 'eth0' }] })),
  resource('Service', 'web', {
    vip: '203.0.113.10',
    ports: [{ port: 80, protocol: 'tcp' }],
    backends: [{ address: '10.0.1.1' }],
    nodes: { names: ['lb-1', 'lb-2', 'lb-3'] },
  }),
])

const reportOf = (node: string, rings: string, change: Partial<NodeReport> = {}): NodeReport => ({
  version: 1,
  node,
  at: 0,
  worker: { pid: 1, startedAt: 0, version: '0' },
  want: { generation: 1, revision: 'a'.repeat(40), stateDigest: 'b'.repeat(64) },
  outcome: 'applied',
  outcomeAt: 0,
  edits: { create: 0, update: 0, delete: 0 },
  failures: [],
  pending: [],
  drift: [],
  observedDigest: 'c'.repeat(64),
  ringsDigest: rings.repeat(64),
  facts: {},
  ...change,
})

test('a node that disagrees with those that serve the same is told when it had time to converge (rule 4)', () => {
  let now = 0
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  const told = () =>
    collector.read().records.flatMap(record => (record.healedAt === null ? [describeDrift(record)] : []))
  for (const [node, rings] of [
    ['lb-1', 'd'],
    ['lb-2', 'e'],
    ['lb-3', 'd'],
    ['lb-4', 'f'],
  ] as const)
    collector.reported(reportOf(node, rings))
  assert.equal(collector.untilTold(), null)
  assert.deepEqual(told(), [])
  now = 399
  assert.deepEqual(told(), [])
  assert.equal(collector.untilTold(), 1)
  now = 400
  assert.equal(collector.untilTold(), null)
  assert.deepEqual(told(), [
    'lb-2 chooses other backends than lb-1, lb-3, and no node says for which service (the same packet goes to another backend there)',
  ])
  assert.equal(collector.read().records[0]?.since, 0)
  assert.equal(collector.reported(reportOf('lb-2', 'e', { at: now })), false)
  assert.equal(collector.reported(reportOf('lb-2', 'e', { outcome: 'held', at: now })), true)
  assert.equal(told().length, 1)
  collector.reported(reportOf('lb-2', 'e', { outcome: 'pending', at: now }))
  assert.deepEqual(told(), [])
  collector.reported(reportOf('lb-2', 'd', { at: now }))
  assert.deepEqual(told(), [])
})

const WEB = 'service/203.0.113.10:80/tcp'
const webRow = fleet.nodes.get('lb-1')?.state.tables.xdp[WEB]

test('a disagreement names the services and the slots, as the nodes report them, and blames the node that drifted', () => {
  let now = 0
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  const drift = [
    {
      ...({ driver: 'xdp', key: WEB, kind: 'changed', since: 0, healedAt: null, held: 'policy' } as const),
      desired: webRow as never,
      observed: { ...webRow, ring: { slots: 65537, differing: 6554 } } as never,
    },
  ]
  // Of two nodes, the one that drifted is the other one, whatever the digests.
  collector.reported(reportOf('lb-1', 'd', { outcome: 'held', drift }))
  collector.reported(reportOf('lb-2', 'e'))
  collector.ofFleet()
  now = 400
  const [record, ...others] = collector.ofFleet()
  assert.deepEqual([others, record?.node, record?.service], [[], 'lb-1', 'web'])
  assert.equal(
    describeDrift(record!),
    'lb-1 chooses other backends of web (6554 slots) than lb-2 (10% of its flows go to another backend there)',
  )
  assert.deepEqual(record?.observed, {
    rings: 'd'.repeat(64),
    services: [{ key: WEB, service: 'web', node: 'lb-1', slots: 6554 }],
  })
})

test('what one process knew of the fleet goes on in the next, since when it was seen first, or has ended meanwhile', () => {
  let now = 0
  const start = () =>
    createDriftCollector(
      () => fleet,
      () => now,
    )
  const first = start()
  const reports = Object.entries({ 'lb-1': 'd', 'lb-2': 'e', 'lb-3': 'd' }).map(([node, rings]) =>
    reportOf(node, rings),
  )
  for (const report of reports) first.reported(report)
  first.listening(new Set(['lb-1', 'lb-2', 'lb-3']))
  now = 1_000
  first.listening(new Set(['lb-1', 'lb-2']))
  first.ofFleet()
  now = 3_000
  const known = first.ofFleet()
  const shown = (records: ReturnType<typeof first.ofFleet>) =>
    records.map(({ node, kind, since, healedAt }) => [node, kind, since, healedAt])
  assert.deepEqual(shown(known), [
    ['lb-3', 'unreachable', 1_000, null],
    ['lb-2', 'rings-disagree', 1_000, null],
  ])
  now = 20_000
  const second = start()
  second.restore(known, reports)
  second.listening(new Set(['lb-1', 'lb-2']))
  assert.deepEqual(shown(second.ofFleet()), shown(known))
  second.restore(known, reports)
  second.listening(new Set(['lb-1', 'lb-2', 'lb-3']))
  second.reported(reportOf('lb-2', 'd', { at: 20_000 }))
  const over = [
    ['lb-3', 'unreachable', 1_000, 20_000],
    ['lb-2', 'rings-disagree', 1_000, 20_000],
  ]
  assert.deepEqual(shown(second.ofFleet()), over)
  second.restore(second.ofFleet(), [])
  assert.deepEqual(shown(second.ofFleet()), over, 'what has ended is not told twice')
})

test('what the fleet as a whole showed is remembered for an hour when it has ended, once', () => {
  let now = 0
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  const read = () =>
    collector.read().records.map(({ node, kind, since, healedAt }) => [node, kind, since, healedAt])
  for (const [node, rings] of Object.entries({ 'lb-1': 'd', 'lb-2': 'e', 'lb-3': 'd' }))
    collector.reported(reportOf(node, rings))
  collector.read()
  now = 400
  assert.equal(collector.ofFleet().length, 1)
  collector.reported(reportOf('lb-2', 'd', { at: now }))
  now = 450
  assert.deepEqual(
    collector.ofFleet().map(({ healedAt }) => healedAt),
    [450],
  )
  now = 500
  const healed = ['lb-2', 'rings-disagree', 0, 450]
  assert.deepEqual([read(), read()], [[healed], [healed]])
  now = 450 + 3_600_000
  for (const node of ['lb-1', 'lb-2', 'lb-3']) collector.reported(reportOf(node, 'd', { at: now }))
  assert.deepEqual(read(), [])
})

test('a node that gives no sign is told, until it does', () => {
  const report = reportOf('lb-1', 'd', { at: 5_000 })
  assert.equal(findUnreachable(report, 35_000, null), null)
  const record = findUnreachable(report, 35_001, null)
  assert.equal(record?.since, 5_000)
  assert.equal(nameDrift(record), 'node unreachable')
})

test('a worker that was heard and listens no more is told of in seconds, and not while nobody can say who listens', () => {
  let now = 0
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  const told = () =>
    collector
      .ofFleet()
      .flatMap(({ node, kind, since, healedAt }) => (healedAt === null ? [`${node} ${kind} ${since}`] : []))
  for (const node of ['lb-1', 'lb-2']) collector.reported(reportOf(node, 'd'))
  collector.listening(new Set(['lb-1']))
  now = 1_000
  collector.listening(new Set())
  now = 2_999
  collector.listening(new Set())
  assert.deepEqual(told(), [])
  now = 3_000
  assert.deepEqual(told(), ['lb-1 unreachable 1000'])
  collector.listening(null)
  assert.deepEqual(told(), [])
  assert.deepEqual(collector.read().records, [], 'nor is it told that it has ended')
  collector.listening(new Set(['lb-1']))
  now = 9_000
  assert.deepEqual(told(), [])
})

test('what healed under a worker that has ended is remembered for an hour', () => {
  let now = 10_000
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  const healed = (key: string, healedAt: number) => ({
    ...{ driver: 'bgp' as const, key, kind: 'missing' as const, desired: null, observed: null },
    ...{ since: healedAt - 500, healedAt, healedBy: 'repair' as const },
  })
  const told = () => collector.read().records.map(({ key, since, healedAt }) => `${key} ${since} ${healedAt}`)
  const first = healed('route/203.0.113.10/32', 5_000)
  collector.reported(
    reportOf('lb-1', 'd', { drift: [{ ...first, earlier: [{ since: 2_000, healedAt: 3_000 }] }] }),
  )
  const worker = { pid: 2, startedAt: 9_000, version: '0' }
  const second = healed('route/203.0.113.10/32', 9_500)
  collector.reported(reportOf('lb-1', 'd', { at: now, worker, drift: [second] }))
  collector.reported(reportOf('lb-1', 'd', { at: now, worker, drift: [second] }))
  assert.deepEqual(told(), [
    'route/203.0.113.10/32 9000 9500',
    'route/203.0.113.10/32 4500 5000',
    'route/203.0.113.10/32 2000 3000',
  ])
  now = 3_605_000
  collector.reported(reportOf('lb-1', 'd', { at: now, worker }))
  assert.deepEqual(told(), [])
})

test('drift has the names of the documentation', () => {
  const cases = [
    ['xdp', 'interface/eth0', 'missing', null, 'program detached'],
    ['xdp', 'interface/eth0', 'changed', { program: 'pass (id 7)' }, 'program replaced'],
    ['xdp', 'settings', 'missing', null, 'pin removed'],
    ['xdp', 'settings', 'changed', {}, 'program replaced'],
    ['xdp', 'service/a', 'changed', { ring: { slots: 65537, differing: 4 } }, 'ring differs'],
    ['xdp', 'service/a', 'changed', { ring: { slots: 65537, differing: 0 } }, 'service changed'],
    ['xdp', 'service/a', 'unexpected', {}, 'service unexpected'],
    ['ipvs', 'vip/203.0.113.1', 'changed', {}, 'address lost'],
    ['ipvs', 'sysctl/net.ipv4.vs.sloppy_tcp', 'changed', {}, 'sysctl changed'],
    ['bgp', 'route/203.0.113.1/32', 'missing', null, 'announcement missing'],
    ['bgp', 'speaker', 'missing', null, 'daemon restarted'],
    ['node', 'pause', 'paused', null, 'paused'],
  ] as const
  for (const [driver, key, kind, observed, name] of cases)
    assert.equal(nameDrift({ driver, key, kind, observed }), name)
})
