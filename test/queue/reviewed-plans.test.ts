import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { keepPlan } from '../../reconciler/plan/reviewed-plan.ts'
import { recordTraffic } from '../../reconciler/plan/traffic-history.ts'
import { createReviewedPlans } from '../../reconciler/queue/reviewed-plans.ts'
import { createTrafficHistory } from '../../reconciler/queue/traffic-history.ts'
import type { ReviewedPlan } from '../../schemas/reviewed-plan.ts'
import { makeRedis } from './make-redis.ts'

const empty = planFleet({ base: null, head: null, before: new Map(), after: new Map(), names: {} })
const planned = (index: number, at: number): ReviewedPlan => ({
  ...keepPlan({ plan: empty, parts: [] }, 'plan', at),
  digest: index.toString(16).padStart(64, '0'),
})

test('plans are found by digest, newest first, until they expire; of many the latest', async t => {
  const connection = (await makeRedis(t)).connect()
  let now = 1_000
  const plans = createReviewedPlans(connection, () => now)
  for (let index = 1; index <= 105; index++) await plans.put(planned(index, index))
  const latest = await plans.readLatest()
  assert.deepEqual([latest.length, latest[0]?.digest], [100, planned(105, 0).digest])
  const one = planned(7, 7)
  assert.deepEqual(await plans.read(one.digest), one)
  assert.equal(await plans.read('f'.repeat(64)), null)
  now = one.expiresAt
  assert.equal(await plans.read(one.digest), null)
})

test('records of traffic are kept by service; one that cannot be read is left out', async t => {
  const connection = (await makeRedis(t)).connect()
  const history = createTrafficHistory(connection)
  const record = recordTraffic(null, { at: 5, rates: new Map([['10.0.1.1', 2.5]]) })
  const keys = Array.from({ length: 1_100 }, (_, n) => `service/10.9.${n >> 8}.${n & 255}:80/tcp`)
  await history.write(new Map(keys.map(key => [key, record])))
  assert.equal((await history.read(['service/unknown', ...keys])).size, keys.length)
  await connection.call(redis => redis.set(`{ballast}:traffic:${keys[0]}`, '{"version":2}'))
  const read = await history.read(keys.slice(0, 2))
  assert.deepEqual([...read], [[keys[1], record]])
})
