import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDriftCollector } from '../../reconciler/controller/fleet-drift.ts'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { describeDrift } from '../../reconciler/drift/describe-drift.ts'
import { findUnreachable, NO_SIGNS } from '../../reconciler/drift/find-fleet-drift.ts'
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

const listening = (...nodes: string[]) => ({
  listening: new Set(nodes),
  heartbeats: new Map<string, string>(),
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
  first.signs(listening('lb-1', 'lb-2', 'lb-3'))
  now = 1_000
  first.signs(listening('lb-1', 'lb-2'))
  first.ofFleet()
  now = 3_000
  first.signs(listening('lb-1', 'lb-2'))
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
  second.signs(listening('lb-1', 'lb-2'))
  assert.deepEqual(shown(second.ofFleet()), shown(known))
  second.restore(known, reports)
  second.signs(listening('lb-1', 'lb-2', 'lb-3'))
  second.reported(reportOf('lb-2', 'd', { at: 20_000 }))
  second.reported(reportOf('lb-3', 'd', { at: 20_000 }))
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
  assert.equal(findUnreachable(report, 35_000, NO_SIGNS), null)
  const record = findUnreachable(report, 35_001, NO_SIGNS)
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
  collector.signs(listening('lb-1'))
  now = 1_000
  collector.signs(listening())
  now = 2_999
  collector.signs(listening())
  assert.deepEqual(told(), [])
  now = 3_000
  collector.signs(listening())
  assert.deepEqual(told(), ['lb-1 unreachable 1000'])
  collector.signs(null)
  assert.deepEqual(told(), [])
  assert.deepEqual(collector.read().records, [], 'nor is it told that it has ended')
  collector.signs(listening('lb-1'))
  now = 9_000
  assert.deepEqual(told(), [])
})

const beating = (beats: Record<string, number>, doing: object | null = null) => ({
  listening: new Set(Object.keys(beats)),
  heartbeats: new Map(
    Object.entries(beats).map(([node, beat]) => [node, JSON.stringify({ version: 1, beat, doing })] as const),
  ),
})

test('a worker whose heartbeat does not change is told of in seconds, though it is connected; one that never gave any is not', () => {
  let now = 0
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  const shown = () =>
    collector.ofFleet().map(({ node, since, healedAt }) => `${node} ${since} ${healedAt ?? 'open'}`)
  for (const node of ['lb-1', 'lb-2', 'lb-3']) collector.reported(reportOf(node, 'd'))
  const look = (at: number, beats: Record<string, number>): string[] => {
    now = at
    collector.signs({ ...beating(beats), listening: new Set(['lb-1', 'lb-2', 'lb-3']) })
    return shown()
  }
  // What stands there first may be of a worker that is long dead: lb-2's never changes.
  look(0, { 'lb-1': 1, 'lb-2': 1 })
  look(1_000, { 'lb-1': 2, 'lb-2': 1 })
  assert.equal(collector.untilTold(), 2_200)
  assert.deepEqual(look(3_199, { 'lb-1': 2, 'lb-2': 1 }), [])
  now = 9_000
  assert.deepEqual(shown(), [], 'nothing was read since: this process may have been busy')
  assert.deepEqual(look(9_000, { 'lb-1': 3 }), [])
  assert.deepEqual(look(11_200, { 'lb-1': 3 }), ['lb-1 9000 open'])
  assert.deepEqual(look(11_300, { 'lb-1': 4 }), ['lb-1 9000 11300'])
  look(13_600, { 'lb-1': 4 })
  const next = createDriftCollector(
    () => fleet,
    () => now,
  )
  next.restore(
    collector.ofFleet(),
    ['lb-1', 'lb-2', 'lb-3'].map(node => reportOf(node, 'd')),
  )
  next.signs(beating({ 'lb-1': 4 }))
  assert.equal(next.ofFleet().find(({ healedAt }) => healedAt === null)?.since, 11_300)
  // Another worker, of a version that gives no signs of life.
  const worker = { pid: 2, startedAt: 13_600, version: '0' }
  next.reported(reportOf('lb-1', 'd', { at: 13_600, worker }))
  next.signs(beating({ 'lb-1': 4 }))
  assert.deepEqual(
    next.ofFleet().filter(({ healedAt }) => healedAt === null),
    [],
  )
})

test('a worker that lives and hangs in a step is told of when no step takes so long, with the step', () => {
  let now = 0
  const collector = createDriftCollector(
    () => fleet,
    () => now,
  )
  collector.reported(reportOf('lb-1', 'd'))
  const told = () =>
    collector.ofFleet().flatMap(each => (each.healedAt === null ? [describeDrift(each)] : []))
  for (let beat = 0; beat < 20; beat++) {
    now = 1_000 * beat
    collector.signs(beating({ 'lb-1': beat }, { what: 'ipvs apply', forMs: now }))
    collector.reported(reportOf('lb-1', 'd', { at: now }))
    assert.deepEqual(told(), [])
  }
  now = 20_000
  collector.signs(beating({ 'lb-1': 20 }, { what: 'ipvs apply', forMs: now }))
  assert.deepEqual(told(), [
    'lb-1 gives signs of life, and hangs in ipvs apply (nothing is changed or repaired there; the dataplane forwards without its worker)',
  ])
  assert.equal(collector.ofFleet()[0]?.since, 0)
  now = 21_000
  collector.signs(beating({ 'lb-1': 21 }, { what: 'ipvs observe', forMs: 3 }))
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
