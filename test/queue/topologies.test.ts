import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, type TestContext, test } from 'node:test'
import { silentLog } from '../../reconciler/log/log.ts'
import { type Role, roleRules, roleUser } from '../../reconciler/queue/acl.ts'
import type { RedisAddress } from '../../reconciler/queue/client.ts'
import { connectRedis, type RedisConnection } from '../../reconciler/queue/connection.ts'
import { createCounters } from '../../reconciler/queue/counters.ts'
import { createFleetDriftBoard } from '../../reconciler/queue/fleet-drift.ts'
import { createFence, holdLease } from '../../reconciler/queue/lease.ts'
import { createReports } from '../../reconciler/queue/reports.ts'
import { createStateStore } from '../../reconciler/queue/state-store.ts'
import { createWaker, listenForWakes } from '../../reconciler/queue/wake.ts'
import { createWants } from '../../reconciler/queue/wants.ts'
import { FLEET_DRIFT_VERSION } from '../../schemas/fleet-drift.ts'
import { NODE_COUNTERS_VERSION } from '../../schemas/node-counters.ts'
import { makeReportOf, makeWant } from './examples.ts'
import { temporaryFolder, until } from './make-redis.ts'
import {
  type Certificates,
  makeCertificates,
  type Server,
  startCluster,
  startSentinel,
  startServer,
} from './redis-servers.ts'
import { fleetState } from './states.ts'

function connect(t: TestContext, address: RedisAddress): RedisConnection {
  const connection = connectRedis({ ...address, log: silentLog() })
  t.after(() => connection.close())
  return connection
}

const worker = (node: string): Role => ({ role: 'worker', node })
const RECONCILER: Role = { role: 'reconciler' }
const ROLES: readonly Role[] = [RECONCILER, { role: 'status' }, worker('lb-1'), worker('lb-2')]

const answers = (connection: RedisConnection): Promise<boolean> =>
  connection
    .call(redis => redis.exists('{ballast}:wants'))
    .then(
      () => true,
      () => false,
    )

/** Everything that reconciler, worker and status do with Redis, once. */
async function useAll(t: TestContext, address: RedisAddress, ofWorker = address): Promise<void> {
  const [reconciler, worker] = [connect(t, address), connect(t, ofWorker)]
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
    assert.deepEqual(await createWants(worker).read('lb-1'), want)
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
    const drift = { version: FLEET_DRIFT_VERSION, at: 1, records: [] } as const
    await createFleetDriftBoard(reconciler, fence).write({ ...drift, records: [] })
    assert.deepEqual(await createFleetDriftBoard(reconciler).read(), { drift, isLed: true })
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

const readCertificates = ({ ca, cert, key }: Certificates) => ({
  ca: readFileSync(ca, 'utf8'),
  cert: readFileSync(cert, 'utf8'),
  key: readFileSync(key, 'utf8'),
})

/** Kills the master: the replica takes its place, with what was written, and nobody needs to be told where. */
async function failOver(t: TestContext, address: RedisAddress, [master, replica]: [Server, Server]) {
  const connection = connect(t, address)
  let ready = 0
  connection.onReady(() => ready++)
  await connection.call(redis => redis.set('{ballast}:test', '1'))
  await until('the replica has it', async () => Number(await replica.cli('dbsize')) > 0)
  const before = ready
  await master.kill()
  await until('the new master answers', () => answers(connection))
  await until('it is told of', () => ready > before)
  assert.equal(await connection.call(redis => redis.get('{ballast}:test')), '1')
  await useAll(t, address)
  assert.match(await replica.cli('info', 'replication'), /role:master/)
}

suite('Redis over TLS', () => {
  test('is used with its own authority and our certificate, and with no other authority', async t => {
    const dir = temporaryFolder(t)
    const files = await makeCertificates(dir)
    const server = await startServer(t, { tls: files })
    const [url, tls] = [`rediss://127.0.0.1:${server.port}`, readCertificates(files)]
    await useAll(t, { url, tls })
    const refused = { code: 'REDIS_UNREACHABLE', message: /certificate/ }
    await assert.rejects(
      connect(t, { url }).call(redis => redis.ping()),
      refused,
    )
    await assert.rejects(
      connect(t, { url, tls: { ca: tls.ca } }).call(redis => redis.ping()),
      { code: 'REDIS_UNREACHABLE' },
    )
  })
})

suite('Redis over TLS that fails over', () => {
  test('is used with Sentinels, which speak TLS too', async t => {
    const files = await makeCertificates(temporaryFolder(t))
    const { master, replica, url } = await startSentinel(t, files)
    await failOver(t, { url, tls: readCertificates(files) }, [master, replica])
  })

  test('is used as a Cluster, whose replica takes the place of a master', async t => {
    const files = await makeCertificates(temporaryFolder(t))
    const { owner, url, addReplica } = await startCluster(t, files)
    const replica = await addReplica()
    await failOver(t, { url, tls: readCertificates(files) }, [owner, replica])
  })
})

suite('Redis with Sentinel', () => {
  test('is used at the master, and at the new one after a fail-over', async t => {
    const { master, replica, sentinel, url } = await startSentinel(t)
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

    await replica.cli('config', 'set', 'maxmemory-policy', 'noeviction')
    await sentinel.cli('acl', 'setuser', 'default', 'resetpass', '>watch')
    assert.equal(await answers(connect(t, { url })), false)
    assert.equal(await answers(connect(t, { url, sentinelPassword: 'watch' })), true)
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

suite('Redis with a user per role', () => {
  /** The lines that `ballast redis acl` prints, with one password for all. */
  async function setUsers(server: Server): Promise<void> {
    for (const who of ROLES) {
      assert.equal(await server.cli('acl', 'setuser', roleUser(who), ...roleRules(who), '>secret'), 'OK')
    }
  }
  const as = (url: string, who: Role): RedisAddress => ({ url, username: roleUser(who), password: 'secret' })

  test('lets each do what it does, alone and in a Cluster', async t => {
    const server = await startServer(t)
    const { servers, url } = await startCluster(t)
    for (const one of [server, ...servers]) await setUsers(one)
    for (const at of [`redis://127.0.0.1:${server.port}`, url]) {
      await useAll(t, as(at, RECONCILER), as(at, worker('lb-1')))
    }
    for (const one of [server, ...servers])
      assert.equal(await one.cli('acl', 'log'), '', 'nothing was refused')
  })

  test('keeps a worker from every want, from other nodes, and from what it has no business with', async t => {
    const server = await startServer(t)
    await setUsers(server)
    const url = `redis://127.0.0.1:${server.port}`
    const reconciler = connect(t, as(url, RECONCILER))
    const want = makeWant('lb-1')
    await createWants(reconciler).publish(want)
    const one = connect(t, as(url, worker('lb-1')))
    const two = connect(t, as(url, worker('lb-2')))
    const refused = { code: 'REDIS_REFUSED' }
    await createReports(one).publish(makeReportOf('lb-1'))
    await assert.rejects(createReports(two).publish(makeReportOf('lb-1', { at: 2 })), refused)
    await assert.rejects(createWants(one).publish(makeWant('lb-1', { generation: Date.now() + 5 })), refused)
    await assert.rejects(createWants(two).read('lb-1'), refused)
    const waker = createWaker(two)
    t.after(() => waker.close())
    await assert.rejects(waker.wake('lb-1', 1), refused)
    const commands: readonly (readonly [string, ...string[]])[] = [
      ['set', '{ballast}:want:lb-2', 'x'],
      ['set', '{ballast}:epoch', '9'],
      ['set', `{ballast}:state:row:${'a'.repeat(64)}`, 'x'],
      ['del', '{ballast}:reporters'],
      ['flushall'],
      ['keys', '*'],
      ['scan', '0'],
      ['config', 'get', '*'],
      ['acl', 'list'],
    ]
    for (const [name, ...args] of commands) {
      await assert.rejects(
        two.call(redis => redis.call(name, ...args)),
        refused,
        [name, ...args].join(' '),
      )
    }
    assert.deepEqual(await createWants(reconciler).read('lb-1'), want)
    assert.deepEqual((await createReports(reconciler).readAll()).get('lb-1')?.at, 1)
  })

  test('lets `status` read and write nothing', async t => {
    const server = await startServer(t)
    await setUsers(server)
    const url = `redis://127.0.0.1:${server.port}`
    const want = makeWant('lb-1')
    await createWants(connect(t, { url })).publish(want)
    const status = connect(t, as(url, { role: 'status' }))
    assert.deepEqual(await createWants(status).readAll(), new Map([['lb-1', want]]))
    const refused = { code: 'REDIS_REFUSED' }
    const drift = createFleetDriftBoard(status)
    assert.deepEqual(await drift.read(), { drift: null, isLed: false })
    await assert.rejects(drift.write({ version: FLEET_DRIFT_VERSION, at: 1, records: [] }), refused)
    await assert.rejects(createWants(status).remove('lb-1'), refused)
    await assert.rejects(createReports(status).publish(makeReportOf('lb-1')), refused)
  })
})
