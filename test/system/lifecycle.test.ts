import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServer } from '../queue/redis-servers.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const A = makeFiles({ nodes: ['lb-1'] })
const B = makeFiles({ nodes: ['lb-1'], services: { web: { vip: 10, backends: [1, 2, 3] } } })
const WANT = '{ballast}:want:lb-1'

const inNode = (fleet: TestFleet, name: string): string => join(fleet.stateDir, 'nodes/lb-1', name)
const tableOf = (fleet: TestFleet): Promise<string> => readFile(inNode(fleet, 'simulated-xdp.json'), 'utf8')
const count = (text: string, part: string): number => text.split(part).length - 1

test('SIGTERM ends the reconciler after its round and without its lease, the worker after its batch; restarts lose nothing', async t => {
  const server = await startServer(t)
  const fleet = await createFleet(t, { redis: `redis://127.0.0.1:${server.port}` })
  const reconciler = await fleet.startReconciler()
  const worker = await fleet.startWorker('lb-1')
  const before = await fleet.untilApplied(await fleet.push(A))

  await fleet.push(B)
  assert.equal((await reconciler.stop(15_000)).exitCode, 0)
  assert.equal(await server.cli('exists', '{ballast}:leader'), '0', 'another need not wait for the lease')
  const { revision } = JSON.parse(await server.cli('get', WANT))
  const stopped = await fleet.status()
  assert.equal(stopped.repository?.accepted, revision, 'a round that began was finished')

  assert.equal((await worker.stop(15_000)).exitCode, 0)
  const report = await readReport(server)
  const kept = JSON.parse(await readFile(inNode(fleet, 'last-good.json'), 'utf8'))
  assert.ok(report.want.generation >= kept.want.generation, 'the last report is of the last want')
  const table = await tableOf(fleet)

  const third = await fleet.push(A)
  await fleet.startReconciler()
  await fleet.until('it is wanted', ({ nodes }) => nodes[0]?.wanted?.revision === third)
  assert.equal(await tableOf(fleet), table, 'the dataplane is as it was left')
  await fleet.startWorker('lb-1')
  const after = await fleet.untilApplied(third)
  assert.ok(after.nodes[0]!.wanted!.generation > before.nodes[0]!.wanted!.generation)
})

test('SIGTERM ends both in time while Redis hangs', async t => {
  const server = await startServer(t)
  const fleet = await createFleet(t, { redis: `redis://127.0.0.1:${server.port}` })
  const programs = [await fleet.startReconciler(), await fleet.startWorker('lb-1')]
  await fleet.untilApplied(await fleet.push(A))
  process.kill(server.program().pid, 'SIGSTOP')
  const ends = await Promise.all(programs.map(program => program.stop(20_000)))
  assert.deepEqual(
    ends.map(({ exitCode }) => exitCode),
    [0, 0],
  )
})

test('a want of another version is refused once, until the reconciler writes one that can be read', async t => {
  const server = await startServer(t)
  const fleet = await createFleet(t, { redis: `redis://127.0.0.1:${server.port}` })
  const reconciler = await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  await fleet.untilApplied(await fleet.push(A))
  await reconciler.stop(15_000)
  const table = await tableOf(fleet)
  const want = JSON.parse(await server.cli('get', WANT))
  for (const version of [2, 0]) {
    await server.cli('set', WANT, JSON.stringify({ ...want, version, generation: want.generation + 10 }))
    await server.cli('publish', '{ballast}:call:lb-1', String(want.generation + 10))
    await server.cli('publish', '{ballast}:call:lb-1', String(want.generation + 11))
    await waitFor(`version ${version} is refused`, async () => {
      const { outcome, failures } = await readReport(server)
      return outcome === 'refused' && failures[0].code === 'QUEUE_VALUE_UNREADABLE'
    })
  }
  assert.equal(await tableOf(fleet), table)
  assert.equal(count(fleet.log(), 'the want cannot be read'), 1, 'said once')
  await fleet.startReconciler()
  await fleet.untilApplied(await fleet.push(B))
})

test('a last good file of another version keeps its place until the want in Redis, not an older one, takes it', async t => {
  const server = await startServer(t)
  const fleet = await createFleet(t, { redis: `redis://127.0.0.1:${server.port}` })
  const reconciler = await fleet.startReconciler()
  let worker = await fleet.startWorker('lb-1')
  const revision = await fleet.push(A)
  await fleet.untilApplied(revision)
  await reconciler.stop(15_000)
  const table = await tableOf(fleet)
  const file = inNode(fleet, 'last-good.json')
  const want = await server.cli('get', WANT)
  const { generation } = JSON.parse(want)
  for (const version of [2, 0]) {
    await worker.stop(15_000)
    const kept = JSON.parse(await readFile(file, 'utf8'))
    const foreign = JSON.stringify({ ...kept, version, also: 'something new' })
    await writeFile(file, foreign)
    await server.cli('set', WANT, JSON.stringify({ ...JSON.parse(want), generation: generation - 1 }))
    const said = fleet.log().length
    worker = await fleet.startWorker('lb-1')
    await waitFor('it says so', async () => {
      const { outcome, failures } = await readReport(server)
      return outcome === 'refused' && failures[0].code === 'LAST_GOOD_OF_ANOTHER_VERSION'
    })
    await waitFor('the older want is refused', async () =>
      fleet.log().slice(said).includes('refused an older want'),
    )
    assert.equal(await readFile(file, 'utf8'), foreign)
    assert.equal(await tableOf(fleet), table)
    await server.cli('set', WANT, want)
    await server.cli('publish', '{ballast}:call:lb-1', String(generation))
    await fleet.untilApplied(revision)
    assert.equal(await tableOf(fleet), table)
  }
})

/** What the node says of itself, as Redis holds it. */
async function readReport(server: Awaited<ReturnType<typeof startServer>>) {
  const names = ['want', 'outcome', 'failures']
  const values = (await server.cli('hmget', '{ballast}:report:lb-1', ...names)).split('\n')
  return Object.fromEntries(names.map((name, at) => [name, JSON.parse(values[at] || 'null')]))
}
