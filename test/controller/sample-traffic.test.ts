import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sampleTraffic } from '../../reconciler/controller/sample-traffic.ts'
import { silentLog } from '../../reconciler/log/log.ts'
import { createCounters } from '../../reconciler/queue/counters.ts'
import { createTrafficHistory } from '../../reconciler/queue/traffic-history.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import { makeRedis, until } from '../queue/make-redis.ts'

const KEY = 'service/203.0.113.1:80/tcp'
const counted = (node: string, at: number, packets: number): NodeCounters => ({
  version: 1,
  node,
  at,
  services: { [KEY]: [{ address: '10.0.1.1', packets, bytes: 0, newFlows: 0, connections: 0 }] },
  liveFlows: 0,
})

test('who leads keeps the peak of what all nodes forward, and who does not writes nothing', async t => {
  const redis = await makeRedis(t)
  const connection = redis.connect()
  const counters = createCounters(connection)
  const history = createTrafficHistory(connection)
  let leads = false
  let samples = 0
  let shown: NodeCounters[] = []
  const sampler = sampleTraffic({
    readCounters: async () => {
      samples++
      return shown
    },
    history,
    leads: () => leads,
    log: silentLog(),
    now: () => 50_000,
    interval: 20,
  })
  redis.beforeItEnds(() => sampler.stop())
  const tell = async (at: number, packets: number) => {
    for (const node of ['lb-1', 'lb-2']) await counters.publish(counted(node, at, packets))
    shown = await counters.readAll(['lb-1', 'lb-2'])
    const seen = samples
    await until('it is sampled', async () => samples > seen + 1 || !leads)
  }
  const read = async () => (await history.read([KEY])).get(KEY)
  await tell(0, 0)
  assert.equal(samples, 0)
  leads = true
  await tell(10_000, 0)
  await tell(20_000, 1_000)
  await until('the first is written', async () => (await read())?.total.peak === 200)
  await tell(30_000, 1_500)
  await until('the last is written', async () => (await read())?.total.rate === 100)
  assert.deepEqual((await read())?.total, { rate: 100, peak: 200, before: 0 })
})
