import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EPOCH_KEY, LEADER_KEY } from '../../reconciler/queue/keys.ts'
import { createFence, evalFenced, holdLease, type Lease } from '../../reconciler/queue/lease.ts'
import { makeRedis, type TestRedis, until } from './make-redis.ts'

const LENGTH = 300

async function lead(redis: TestRedis): Promise<{ lease: Lease; write: () => Promise<unknown> }> {
  const connection = redis.connect()
  const lease = holdLease({ connection, holder: 'one', now: Date.now, length: LENGTH })
  redis.beforeItEnds(() => lease.release())
  await until('it leads', () => lease.epoch() !== null)
  const fence = createFence(lease)
  return {
    lease,
    write: () => evalFenced({ connection, fence, script: "return 'written'", keys: [], args: [] }),
  }
}

/** Nothing else of this process runs meanwhile, as in a long piece of work. */
const keepBusy = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

test('who was too busy to renew leads on, under the same epoch, when nobody has led since', async t => {
  const redis = await makeRedis(t)
  const { lease, write } = await lead(redis)
  const told: boolean[] = []
  lease.onChange(leads => told.push(leads))
  const epoch = lease.epoch()
  keepBusy(2 * LENGTH)
  assert.equal(lease.epoch(), null)
  assert.equal(await write(), 'written')
  assert.equal(lease.epoch(), epoch)
  assert.deepEqual(told, [])
})

test('who was too busy to renew while another led writes nothing', async t => {
  const redis = await makeRedis(t)
  const { lease, write } = await lead(redis)
  keepBusy(2 * LENGTH)
  await redis.connect().call(other => other.multi().incr(EPOCH_KEY).set(LEADER_KEY, 'two').exec())
  await assert.rejects(write(), { code: 'NOT_LEADING' })
  await until('it knows', () => lease.epoch() === null)
})

test('a Redis that has lost the epoch gives a higher one, and that is told', async t => {
  const redis = await makeRedis(t)
  const { lease } = await lead(redis)
  const epoch = lease.epoch()!
  const told: boolean[] = []
  lease.onChange(leads => told.push(leads))
  await redis.empty()
  await until('it leads anew', () => (lease.epoch() ?? 0) > epoch)
  assert.deepEqual(told, [true])
})
