import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openConnection } from '../../reconciler/commands/open-board.ts'
import { silentLog } from '../../reconciler/log/log.ts'
import { createFence, holdLease } from '../../reconciler/queue/lease.ts'
import { createWants } from '../../reconciler/queue/wants.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const A = makeFiles()
const B = makeFiles({ services: { web: { vip: 10, backends: [1, 2, 3] } } })

/** Two reconcilers of one repository and one Redis, the first of which leads. */
async function startTwo(fleet: TestFleet) {
  const first = await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  await fleet.startWorker('lb-2')
  await fleet.untilApplied(await fleet.push(A))
  const redis = `unix:${join(fleet.stateDir, 'redis/redis.sock')}`
  const second = await fleet.startReconciler('--state-dir', join(fleet.dir, 'second'), '--redis', redis)
  await waitFor('the second stands by', async () => fleet.log().includes('another reconciler leads'))
  return { first, second }
}

const count = (text: string, part: string): number => text.split(part).length - 1

test('the one that stands by takes over from one that is killed', async t => {
  const fleet = await createFleet(t)
  await fleet.startRedis()
  const { first } = await startTwo(fleet)
  process.kill(first.pid, 'SIGKILL')
  await first.exited
  await fleet.untilApplied(await fleet.push(B))
  assert.equal(count(fleet.log(), 'this reconciler leads'), 2)
})

test('a leader that slept while another took over writes nothing when it wakes', async t => {
  const fleet = await createFleet(t)
  await fleet.startRedis()
  const { first } = await startTwo(fleet)
  process.kill(first.pid, 'SIGSTOP')
  const second = await fleet.push(B)
  const after = await fleet.untilApplied(second)
  process.kill(first.pid, 'SIGCONT')
  await waitFor('the first stands by', async () => fleet.log().includes('standing by'))
  await delay(1000)
  const later = await fleet.status()
  assert.deepEqual(
    later.nodes.map(({ wanted }) => wanted),
    after.nodes.map(({ wanted }) => wanted),
  )
  const third = await fleet.untilApplied(await fleet.push(A))
  const generations = new Set(third.nodes.map(({ wanted }) => wanted?.generation))
  assert.equal(generations.size, 1, 'one of them gave the generation, to both nodes')
})

test('Redis itself refuses a write with the epoch of an earlier leader', async t => {
  const fleet = await createFleet(t)
  await fleet.startRedis()
  const settings = { stateDir: fleet.stateDir, redis: undefined, redisPasswordFile: undefined }
  const [one, two] = [openConnection(settings, silentLog()), openConnection(settings, silentLog())]
  t.after(() => {
    one.close()
    two.close()
  })
  const lease = holdLease({ connection: one, holder: 'one', now: Date.now })
  await waitFor('one leads', async () => lease.epoch() !== null)
  const stale = await createFence(lease)()
  await lease.release()
  const next = holdLease({ connection: two, holder: 'two', now: Date.now })
  t.after(() => next.release())
  await waitFor('two leads', async () => next.epoch() !== null)
  assert.ok(next.epoch()! > stale)

  const want: Want = {
    version: WANT_VERSION,
    node: 'lb-1',
    generation: Date.now(),
    revision: 'a'.repeat(40),
    stateDigest: 'b'.repeat(64),
    drift: 'repair',
    at: Date.now(),
  }
  await assert.rejects(createWants(one, async () => stale).publish(want), { code: 'NOT_LEADING' })
  assert.equal(await createWants(two).read('lb-1'), null)
  await createWants(two, createFence(next)).publish(want)
  assert.deepEqual(await createWants(two).read('lb-1'), want)
})
