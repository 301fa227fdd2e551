import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { episodesOf } from '../../reconciler/drift/find-drift.ts'
import { allHealthy } from '../../reconciler/effective/effective-tables.ts'
import { createLog } from '../../reconciler/log/log.ts'
import { openDepartures } from '../../reconciler/worker/departures.ts'
import { readLastGood } from '../../reconciler/worker/last-good-file.ts'
import { createNode, type Node } from '../../reconciler/worker/node.ts'
import { digestOf } from '../../schemas/digest.ts'
import { type DriftPolicy, PAUSE_VERSION, type Pause } from '../../schemas/drift-policy.ts'
import { NODE_STATE_VERSION, type NodeState, type NodeTables } from '../../schemas/node-state.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { backend, serviceRow, settingsRow, tablesOf } from '../plan/rows.ts'
import { createFakeDriver, type FakeDriver } from './fake-driver.ts'

const never = new AbortController().signal
const KEY = 'service/203.0.113.1:80/tcp'
const A = tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1')]))
const B = tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.2')]))

const stateOf = (tables: NodeTables): NodeState => ({ version: NODE_STATE_VERSION, node: 'lb-1', tables })

const wantOf = (generation: number, tables: NodeTables, drift: Want['drift'] = 'repair'): Want => ({
  version: WANT_VERSION,
  node: 'lb-1',
  generation,
  revision: String(generation).padStart(40, '0'),
  stateDigest: digestOf(tables),
  drift,
  at: 0,
})

interface Bench {
  readonly driver: FakeDriver
  readonly news: number[]
  clock: number
  pause: Pause | null
  /** A process that starts: what it knows is what is on disk. */
  start(bootId?: string): Promise<Node>
}

async function setUp(t: TestContext): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-node-'))
  t.after(() => rm(dir, { recursive: true }))
  const file = join(dir, 'last-good.json')
  const bench: Bench = {
    driver: createFakeDriver(),
    news: [],
    clock: 1000,
    pause: null,
    async start(bootId = 'boot-1') {
      const node: Node = createNode({
        file,
        bootId,
        lastGood: await readLastGood(file),
        drivers: { xdp: bench.driver },
        departures: await openDepartures(join(dir, 'leaving.json'), { xdp: bench.driver }, () => bench.clock),
        health: allHealthy,
        pause: () => bench.pause,
        findWriter: async () => 'pid 7 (bpftool)',
        log: createLog({ level: 'silent', format: 'json', destination: process.stderr }),
        now: () => bench.clock,
        onNews: async () => {
          bench.news.push(node.status.drift.filter(({ healedAt }) => healedAt === null).length)
        },
      })
      return node
    },
  }
  return bench
}

test('a node takes newer wants only, and a revert is a newer one (rule 7)', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  assert.equal(await node.adopt(wantOf(5, A), stateOf(A)), true)
  assert.equal(await node.adopt(wantOf(5, B), stateOf(B)), false)
  assert.equal(await node.adopt(wantOf(4, B), stateOf(B)), false)
  assert.equal(await node.adopt(wantOf(6, B), stateOf(B)), true)
  await node.step(never)
  assert.deepEqual(bench.driver.rows, B.xdp)
  assert.equal(await node.adopt(wantOf(7, A), stateOf(A)), true)
  await node.step(never)
  assert.deepEqual(bench.driver.rows, A.xdp)
  assert.equal(node.status.outcome, 'applied')
})

test('a restarted process refuses what is older than what the last one took (rule 7)', async t => {
  const bench = await setUp(t)
  await (await bench.start()).adopt(wantOf(9, A), stateOf(A))
  assert.equal(await (await bench.start()).adopt(wantOf(8, B), stateOf(B)), false)
})

test('a process killed between taking a want and applying it applies it when it starts again (rule 5)', async t => {
  const bench = await setUp(t)
  await (await bench.start()).adopt(wantOf(1, A), stateOf(A))
  const node = await bench.start()
  await node.step(never)
  assert.deepEqual(bench.driver.rows, A.xdp)
  assert.deepEqual(node.status.drift, [])
})

test('a restart with nothing changed does nothing', async t => {
  const bench = await setUp(t)
  const first = await bench.start()
  await first.adopt(wantOf(1, A), stateOf(A))
  await first.step(never)
  const batches = bench.driver.batches.length
  const node = await bench.start()
  await node.step(never)
  assert.equal(bench.driver.batches.length, batches)
  assert.equal(node.status.outcome, 'applied')
})

test('a node that booted restores its dataplane, also where drift is only reported (rule 1)', async t => {
  const bench = await setUp(t)
  const first = await bench.start('boot-1')
  await first.adopt(wantOf(1, A, 'hold'), stateOf(A))
  await first.step(never)
  bench.driver.rows = {}
  const node = await bench.start('boot-2')
  await node.step(never)
  assert.deepEqual(bench.driver.rows, A.xdp)
  assert.deepEqual(node.status.drift, [])
})

test('drift is told before it is repaired, and remembered as healed', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  await node.adopt(wantOf(1, A), stateOf(A))
  await node.step(never)
  delete bench.driver.rows[KEY]
  bench.clock = 5000
  bench.driver.beforeApply = () => assert.deepEqual(bench.news, [1])
  await node.step(never)
  assert.deepEqual(bench.driver.rows, A.xdp)
  assert.deepEqual(
    node.status.drift.map(({ key, kind, since, healedAt }) => ({ key, kind, since, healedAt })),
    [{ key: KEY, kind: 'missing', since: 5000, healedAt: 5000 }],
  )
})

test('what is changed while drift is repaired is drift of its own', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  const other = serviceRow('203.0.113.2', [backend('10.0.1.1')])
  const both = tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1')]), other)
  await node.adopt(wantOf(1, both), stateOf(both))
  await node.step(never)
  delete bench.driver.rows[KEY]
  bench.clock = 5000
  bench.driver.beforeApply = () => {
    bench.driver.beforeApply = null
    bench.clock = 6000
    delete bench.driver.rows['service/203.0.113.2:80/tcp']
  }
  await node.step(never)
  assert.deepEqual(bench.driver.rows, both.xdp)
  assert.deepEqual(bench.news, [1, 1])
  assert.deepEqual(
    node.status.drift.map(({ key, kind, since, healedAt, healedBy }) => [
      key,
      kind,
      since,
      healedAt,
      healedBy,
    ]),
    [
      ['service/203.0.113.2:80/tcp', 'missing', 6000, 6000, 'repair'],
      [KEY, 'missing', 5000, 6000, 'repair'],
    ],
  )
})

test('drift under the policy hold is told and left alone, until it is gone', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  await node.adopt(wantOf(1, A, 'hold'), stateOf(A))
  await node.step(never)
  bench.driver.rows[KEY] = B.xdp[KEY]!
  bench.clock = 2000
  await node.step(never)
  assert.deepEqual(bench.driver.rows[KEY], B.xdp[KEY])
  assert.equal(node.status.outcome, 'held')
  bench.clock = 3000
  await node.step(never)
  assert.equal(node.status.drift[0]?.since, 2000)
  bench.driver.rows[KEY] = A.xdp[KEY]!
  bench.clock = 4000
  await node.step(never)
  assert.equal(node.status.outcome, 'applied')
  assert.equal(node.status.drift[0]?.healedAt, 4000)
})

test('a new want under the policy hold is applied all the same', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  await node.adopt(wantOf(1, A, 'hold'), stateOf(A))
  await node.step(never)
  await node.adopt(wantOf(2, B, 'hold'), stateOf(B))
  await node.step(never)
  assert.deepEqual(bench.driver.rows, B.xdp)
})

test('a failure is reported, tried again after a while, and gone from the report when it succeeds', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  bench.driver.fails.add(KEY)
  await node.adopt(wantOf(1, A), stateOf(A))
  await node.step(never)
  assert.equal(node.status.outcome, 'failed')
  assert.deepEqual(
    node.status.failures.map(({ key }) => key),
    [KEY],
  )
  const tries = bench.driver.batches.length
  await node.step(never)
  assert.equal(bench.driver.batches.length, tries, 'it waits before the next try')
  bench.driver.fails.clear()
  bench.clock += 60_000
  await node.step(never)
  assert.equal(node.status.outcome, 'applied')
  assert.deepEqual(node.status.failures, [])
})

test('a quiet node is fingerprinted, and read in full only now and then', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  await node.adopt(wantOf(1, A), stateOf(A))
  await node.step(never)
  await node.step(never)
  const reads = bench.driver.observations
  for (let i = 0; i < 10; i++) await node.step(never)
  assert.equal(bench.driver.observations, reads)
  bench.clock += 60_000
  await node.step(never)
  assert.equal(bench.driver.observations, reads + 1)
})

test('drift tells by whom it was put right', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  const ends = () => node.status.drift.flatMap(episodesOf).map(({ healedBy }) => healedBy)
  await node.adopt(wantOf(1, A), stateOf(A))
  await node.step(never)
  bench.driver.rows[KEY] = B.xdp[KEY]!
  await node.step(never)
  assert.deepEqual(ends(), ['repair'])
  await node.adopt(wantOf(2, A, 'hold'), stateOf(A))
  await node.step(never)
  bench.driver.rows[KEY] = B.xdp[KEY]!
  await node.step(never)
  bench.driver.rows[KEY] = A.xdp[KEY]!
  await node.step(never)
  assert.deepEqual(ends(), ['others', 'repair'])
  bench.driver.rows[KEY] = B.xdp[KEY]!
  await node.step(never)
  await node.adopt(wantOf(3, B, 'hold'), stateOf(B))
  await node.step(never)
  assert.deepEqual(ends(), ['want', 'others', 'repair'])
})

test('of two rows the one under hold is left, and the other repaired; repairAfter repairs in time', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  const driftPolicy: DriftPolicy = {
    node: { all: 'repair', kinds: {} },
    rows: { [KEY]: { all: { repairAfter: 5000 }, kinds: {} } },
  }
  await node.adopt({ ...wantOf(1, A), driftPolicy }, stateOf(A))
  await node.step(never)
  bench.driver.rows = {}
  bench.clock = 2000
  await node.step(never)
  assert.deepEqual(Object.keys(bench.driver.rows), ['settings'])
  assert.equal(node.status.outcome, 'held')
  const told = () => node.status.drift.map(({ key, held, healedBy }) => [key, held, healedBy])
  assert.deepEqual(told(), [
    [KEY, 'policy', undefined],
    ['settings', undefined, 'repair'],
  ])
  bench.clock = 6999
  await node.step(never)
  assert.equal(bench.driver.rows[KEY], undefined)
  bench.clock = 7000
  await node.step(never)
  assert.deepEqual(bench.driver.rows, A.xdp)
  assert.equal(node.status.outcome, 'applied')
})

test('a row that somebody changes again and again is given up with a name, until there is a new want', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  await node.adopt(wantOf(1, A), stateOf(A))
  await node.step(never)
  for (let round = 0; round < 20; round++) {
    bench.clock += 1000
    bench.driver.rows[KEY] = B.xdp[KEY]!
    await node.step(never)
  }
  assert.deepEqual(bench.driver.rows[KEY], B.xdp[KEY])
  assert.equal(node.status.outcome, 'held')
  const [open, ...healed] = node.status.drift.flatMap(episodesOf)
  assert.deepEqual([open?.held, open?.writer, healed.length], ['fight', 'pid 7 (bpftool)', 5])
  await node.adopt(wantOf(2, A), stateOf(A))
  await node.step(never)
  assert.deepEqual(bench.driver.rows, A.xdp)
})

test('a node that is paused is not changed, by no want either, and goes on when that ends', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  await node.adopt(wantOf(1, A), stateOf(A))
  await node.step(never)
  bench.pause = { version: PAUSE_VERSION, since: 1000, until: 60_000, why: 'a cable', by: 'ada' }
  delete bench.driver.rows[KEY]
  await node.step(never)
  assert.equal(bench.driver.rows[KEY], undefined)
  assert.deepEqual([node.status.outcome, node.status.drift[0]?.held], ['held', 'pause'])
  assert.deepEqual(node.status.pending, ['paused until 1970-01-01T00:01:00.000Z by ada: a cable'])
  await node.adopt(wantOf(2, B), stateOf(B))
  await node.step(never)
  assert.equal(bench.driver.rows[KEY], undefined)
  bench.pause = null
  await node.step(never)
  assert.deepEqual(bench.driver.rows, B.xdp)
  assert.deepEqual([node.status.outcome, node.status.pending], ['applied', []])
})

test('a hint shortens the wait after a failure, and a failure that hints does not run in a circle', async t => {
  const bench = await setUp(t)
  const node = await bench.start()
  bench.driver.fails.add(KEY)
  await node.adopt(wantOf(1, A), stateOf(A))
  for (let failure = 1; failure <= 6; failure += 1) {
    await node.step(never)
    bench.clock += 60_000
  }
  await node.step(never)
  const { batches } = bench.driver
  const tried = batches.length
  for (let hint = 0; hint < 5; hint += 1) {
    node.hurry()
    await node.step(never)
  }
  assert.equal(batches.length, tried)
  bench.clock += 1_000
  await node.step(never)
  assert.equal(batches.length, tried + 1)
})
