import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, type TestContext, test } from 'node:test'
import { silentLog } from '../../reconciler/log/log.ts'
import type { RedisAddress } from '../../reconciler/queue/client.ts'
import { connectRedis, type RedisConnection } from '../../reconciler/queue/connection.ts'
import { createCounters } from '../../reconciler/queue/counters.ts'
import { createFence, holdLease } from '../../reconciler/queue/lease.ts'
import { createReports } from '../../reconciler/queue/reports.ts'
import { createStateStore } from '../../reconciler/queue/state-store.ts'
import { createWaker, listenForWakes } from '../../reconciler/queue/wake.ts'
import { createWants } from '../../reconciler/queue/wants.ts'
import { NODE_COUNTERS_VERSION } from '../../schemas/node-counters.ts'
import { makeReportOf, makeWant } from './examples.ts'
import { temporaryFolder, until } from './make-redis.ts'
import { makeCertificates, type Server, startCluster, startSentinel, startServer } from './redis-servers.ts'
import { fleetState } from './states.ts'

function connect(t: TestContext, address: RedisAddress): RedisConnection {
  const connection = connectRedis({ ...address, log: silentLog() })
  t.after(() => connection.close())
  return connection
}

const answers = (connection: RedisConnection): Promise<boolean> =>
  connection
    .call(redis => redis.exists('{ballast}:wants'))
    .then(
      () => true,
      () => false,
    )

/** Everything that reconciler, worker and status do with Redis, once. */
async function useAll(t: TestContext, address: RedisAddress): Promise<void> {
  const [reconciler, worker] = [connect(t, address), connect(t, address)]
  await until('Redis can be used', () => answers(reconciler))
  const lease = holdLease({ connection: reconciler, holder: 'one', now: Date.now })
  await until('it leads', () => lease.epoch() !== null)
  const fence = createFence(lease)
  const [states, wants, reports] = [
    createStateStore(reconciler, fence),
    createWants(reconciler, fence),
    createReports(worker),
  ]
  const waker = createWaker(reconciler)
  const heard: number[] = []
  const listener = await listenForWakes({
    connection: worker,
    node: 'lb-1',
    onWake: async generation => void heard.push(generation),
  })
  const seen: string[] = []
  const ending = new AbortController()
  const reading = (async () => {
    for await (const { node } of createReports(reconciler).stream(ending.signal)) seen.push(node)
  })()
  try {
    const [state, other] = [fleetState('lb-1', 40), fleetState('lb-1', 41)]
    await states.put(other)
    const stateDigest = await states.put(state)
    const want = makeWant('lb-1', { stateDigest })
    await wants.publish(want)
    await waker.wake('lb-1', want.generation)
    await until('the wake-up came', () => heard.includes(want.generation))
    assert.deepEqual(await createWants(worker).readAll(), new Map([['lb-1', want]]))
    assert.deepEqual(await createStateStore(worker).get(stateDigest), state)
    assert.ok((await states.prune([stateDigest])) > 0, 'what only the other state had')
    assert.deepEqual(await createStateStore(worker).get(stateDigest), state)
    const report = makeReportOf('lb-1')
    await reports.publish(report)
    await until('the report was streamed', () => seen.includes('lb-1'))
    assert.deepEqual(await createReports(reconciler).readAll(), new Map([['lb-1', report]]))
    const counters = {
      version: NODE_COUNTERS_VERSION,
      node: 'lb-1',
      at: 1,
      services: {},
      liveFlows: 0,
    } as const
    await createCounters(worker).publish(counters)
    assert.deepEqual(await createCounters(reconciler).readAll(['lb-1']), [counters])
    await wants.remove('lb-1')
    assert.equal(await wants.read('lb-1'), null)
  } finally {
    ending.abort()
    await listener.close()
    await waker.close()
    await lease.release()
    await reading
  }
}

async function mayEvict(t: TestContext, address: RedisAddress, master: Server): Promise<void> {
  await master.cli('config', 'set', 'maxmemory-policy', 'allkeys-lru')
  await assert.rejects(
    connect(t, address).call(redis => redis.exists('{ballast}:wants')),
    { code: 'REDIS_MAY_EVICT' },
  )
}

suite('Redis over TLS', () => {
  test('is used with its own authority and our certificate, and with no other authority', async t => {
    const dir = temporaryFolder(t)
    const { ca, cert, key } = await makeCertificates(dir)
    const server = await startServer(t, [
      ...['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca],
    ])
    const [url, ours] = [`rediss://127.0.0.1:${server.port}`, readFileSync(ca, 'utf8')]
    const tls = { ca: ours, cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
    await useAll(t, { url, tls })
    const refused = { code: 'REDIS_UNREACHABLE', message: /certificate/ }
    await assert.rejects(
      connect(t, { url }).call(redis => redis.ping()),
      refused,
    )
    await assert.rejects(
      connect(t, { url, tls: { ca: ours } }).call(redis => redis.ping()),
      { code: 'REDIS_UNREACHABLE' },
    )
  })
})

suite('Redis with Sentinel', () => {
  test('is used at the master, and at the new one after a fail-over', async t => {
    const { master, replica, url } = await startSentinel(t)
    await useAll(t, { url })
    const connection = connect(t, { url })
    let ready = 0
    connection.onReady(() => ready++)
    await connection.call(redis => redis.set('{ballast}:test', '1'))
    assert.equal(ready, 1)
    await until('the replica has it', async () => (await replica.cli('get', '{ballast}:test')) === '1')
    await master.kill()
    await until('the new master answers', () => answers(connection))
    assert.equal(ready, 2, 'told of the new master')
    assert.equal(await connection.call(redis => redis.get('{ballast}:test')), '1')
    await connection.call(redis => redis.set('{ballast}:test', '2'))
    assert.equal(await replica.cli('get', '{ballast}:test'), '2')
    await mayEvict(t, { url }, replica)
  })
})

suite('a Redis Cluster', () => {
  test('is used whole, also when one of its masters was restarted without what it held', async t => {
    const { servers, owner, url } = await startCluster(t)
    await useAll(t, { url })
    const connection = connect(t, { url })
    let ready = 0
    connection.onReady(() => ready++)
    await connection.call(redis => redis.set('{ballast}:test', '1'))
    const before = ready
    await owner.kill()
    await assert.rejects(
      connection.call(redis => redis.get('{ballast}:test')),
      { code: 'REDIS_UNREACHABLE', retryable: true },
    )
    await owner.start({ empty: true })
    await until('it answers', () => answers(connection))
    assert.ok(ready > before, 'told that what it held may be gone')
    assert.equal(await connection.call(redis => redis.get('{ballast}:test')), null)

    const bystander = servers.find(server => server !== owner)!
    await bystander.kill()
    await until('our keys are there without another one', () => answers(connection))
    await bystander.start()
    await mayEvict(t, { url }, bystander)
  })
})
