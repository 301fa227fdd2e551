import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const A = makeFiles()
const B = makeFiles({ services: { web: { vip: 10, backends: [1, 2, 3] } } })

const backendsOf = async (fleet: TestFleet, node: string): Promise<string[]> => {
  const file = join(fleet.stateDir, 'nodes', node, 'simulated-xdp.json')
  const rows = JSON.parse(await readFile(file, 'utf8')) as NodeTables['xdp']
  const row = rows['service/203.0.113.10:80/tcp']
  return row?.kind === 'service' ? row.backends.map(({ address }) => address) : []
}

async function start(fleet: TestFleet): Promise<void> {
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  await fleet.startWorker('lb-2')
}

test('a push reaches every node, and a revert is a newer push: A, B, back to A (rule 7)', async t => {
  const fleet = await createFleet(t)
  const first = await fleet.push(A)
  await start(fleet)
  await fleet.untilApplied(first)
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2'])
  const second = await fleet.push(B)
  const after = await fleet.untilApplied(second)
  assert.deepEqual(await backendsOf(fleet, 'lb-2'), ['10.0.1.1', '10.0.1.2', '10.0.1.3'])
  const third = await fleet.push(A)
  const back = await fleet.untilApplied(third)
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2'])
  assert.deepEqual(await backendsOf(fleet, 'lb-2'), ['10.0.1.1', '10.0.1.2'])
  const generation = (status: typeof back): number => status.nodes[0]?.wanted?.generation ?? 0
  assert.ok(generation(back) > generation(after))
})

test('a broken, an empty and a rewritten branch are refused, said, and change nothing (rule 1)', async t => {
  const fleet = await createFleet(t)
  const good = await fleet.push(A)
  await start(fleet)
  await fleet.untilApplied(good)

  const refused = async (revision: string, rule: string): Promise<void> => {
    const status = await fleet.until(
      `${rule} is refused`,
      ({ repository }) => repository?.rejected?.revision === revision,
    )
    assert.equal(status.repository?.accepted, good)
    assert.equal(status.inSync, false)
    assert.ok(
      status.repository?.rejected?.diagnostics.some(each => each.rule === rule),
      rule,
    )
    assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2'])
  }
  const broken = { ...A, 'services/web.yaml': A['services/web.yaml']!.replace('"vip"', '"vpi"') }
  await refused(await fleet.push(broken), 'field-unknown')
  await refused(await fleet.push({ 'README.md': 'nothing here' }), 'tree-empty')
  await refused(await fleet.push(B, { force: true }), 'not-fast-forward')
})

test('a start with a broken head and an empty Redis goes on with the last good revision (rule 1)', async t => {
  const fleet = await createFleet(t)
  const good = await fleet.push(A)
  const reconciler = await fleet.startReconciler()
  await fleet.until('the push is accepted', ({ repository }) => repository?.accepted === good)
  await reconciler.stop()
  await rm(fleet.stateDir, { recursive: true })
  const broken = await fleet.push({ ...A, 'services/web.yaml': 'apiVersion: ballast.dev/v1\nkind: [' })

  await start(fleet)
  await fleet.until(
    'both nodes hold the last good revision',
    ({ repository, nodes }) =>
      repository?.accepted === good &&
      repository.rejected?.revision === broken &&
      nodes.length === 2 &&
      nodes.every(({ state, reported }) => state === 'in-sync' && reported?.revision === good),
  )
  assert.deepEqual(await backendsOf(fleet, 'lb-2'), ['10.0.1.1', '10.0.1.2'])
})

for (const fault of ['emptied', 'killed'] as const) {
  test(`Redis ${fault} between two pushes loses no want and applies no older state (rule 7)`, async t => {
    const fleet = await createFleet(t)
    await start(fleet)
    const before = await fleet.untilApplied(await fleet.push(A))
    const socket = join(fleet.stateDir, 'redis/redis.sock')
    if (fault === 'emptied') await runCommand('redis-cli', ['-s', socket, 'flushall'])
    else {
      const { stdout } = await runCommand('redis-cli', ['-s', socket, 'info', 'server'])
      process.kill(Number(/process_id:(\d+)/.exec(stdout)?.[1]), 'SIGKILL')
    }
    const after = await fleet.untilApplied(await fleet.push(B))
    for (const node of ['lb-1', 'lb-2']) {
      assert.deepEqual(await backendsOf(fleet, node), ['10.0.1.1', '10.0.1.2', '10.0.1.3'])
    }
    assert.ok(after.nodes[0]!.wanted!.generation > before.nodes[0]!.wanted!.generation)
  })
}

test('workers whose Redis and reconciler are gone restore what they held, and nothing else (rule 1)', async t => {
  const fleet = await createFleet(t)
  const reconciler = await fleet.startReconciler()
  const worker = await fleet.startWorker('lb-1')
  await fleet.startWorker('lb-2')
  await fleet.untilApplied(await fleet.push(A))
  await worker.stop()
  await reconciler.stop()
  const table = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json')
  await rm(table)
  await fleet.startWorker('lb-1')
  await waitFor('lb-1 restores its table', async () => (await readFile(table, 'utf8').catch(() => '')) !== '')
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2'])
})

test('a worker killed again and again while pushes go on ends in the last one (rule 5)', async t => {
  const fleet = await createFleet(t)
  await fleet.startReconciler()
  await fleet.startWorker('lb-2')
  let last = ''
  for (let round = 0; round < 5; round++) {
    const worker = await fleet.startWorker('lb-1')
    last = await fleet.push(makeFiles({ services: { web: { vip: 10, backends: [1, 2 + round] } } }))
    await setTimeout(round * 150)
    process.kill(worker.pid, 'SIGKILL')
    await worker.exited
  }
  await fleet.startWorker('lb-1')
  await fleet.untilApplied(last)
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.6'])
})

test('a node whose tables cannot be read says so, and is not silent', async t => {
  const fleet = await createFleet(t)
  await start(fleet)
  await fleet.untilApplied(await fleet.push(A))
  const table = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json')
  const whole = await readFile(table, 'utf8')
  await writeFile(table, '{"settings":')
  const status = await fleet.until('lb-1 has failed', ({ nodes }) =>
    nodes.some(({ name, state }) => name === 'lb-1' && state === 'failed'),
  )
  assert.deepEqual(
    status.nodes.map(({ name, failures }) => [name, ...failures.map(({ code }) => code)]),
    [['lb-1', 'SIMULATED_TABLE_UNREADABLE'], ['lb-2']],
  )
  await writeFile(table, whole)
  await fleet.until('lb-1 is well again', ({ inSync }) => inSync)
})

test('a second worker of one node is refused, and the first goes on', async t => {
  const fleet = await createFleet(t)
  await start(fleet)
  await fleet.untilApplied(await fleet.push(A))
  const second = await fleet.startWorker('lb-1')
  assert.equal((await second.exited).exitCode, 1)
  assert.match(fleet.log(), /LOCKED: another process already runs as worker of lb-1/)
})

test('a node whose manifest is gone is emptied, and then forgotten', async t => {
  const fleet = await createFleet(t)
  await start(fleet)
  await fleet.untilApplied(await fleet.push(A))
  const gone = await fleet.push(makeFiles({ nodes: ['lb-1'] }))
  await fleet.until(
    'lb-2 is leaving',
    ({ repository, nodes }) =>
      repository?.accepted === gone &&
      nodes.some(({ name, state }) => name === 'lb-2' && state === 'leaving'),
  )
  assert.deepEqual(await backendsOf(fleet, 'lb-2'), [])
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2'])
})
