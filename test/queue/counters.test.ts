import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { createCounters } from '../../reconciler/queue/counters.ts'
import { countersKey } from '../../reconciler/queue/keys.ts'
import { NODE_COUNTERS_VERSION, type NodeCounters } from '../../schemas/node-counters.ts'
import { makeRedis } from './make-redis.ts'

const countersOf = (node: string, services: number): NodeCounters => ({
  version: NODE_COUNTERS_VERSION,
  node,
  at: 1_700_000_000_000,
  liveFlows: 7,
  services: Object.fromEntries(
    Array.from({ length: services }, (_, index) => [
      `service/203.0.113.1/tcp/${index + 1}`,
      Array.from({ length: 20 }, (_, i) => {
        const packets = index * 1000 + i
        return { address: `10.0.0.${i + 1}`, packets, bytes: 64 * packets, newFlows: i, connections: 1 }
      }),
    ]),
  ),
})

suite('counters in Redis', () => {
  test('are read as they were published, of nodes without a service, with few and with many', async t => {
    const counters = createCounters((await makeRedis(t)).connect())
    const all = [countersOf('lb-1', 0), countersOf('lb-2', 3), countersOf('lb-3', 300)]
    for (const each of all) await counters.publish(each)
    assert.deepEqual(await counters.readAll(['lb-1', 'lb-2', 'lb-3', 'lb-4']), all)
  })

  test('are small in Redis where they are many', async t => {
    const connection = (await makeRedis(t)).connect()
    const many = countersOf('lb-1', 1000)
    await createCounters(connection).publish(many)
    const bytes = await connection.call(redis => redis.strlen(countersKey('lb-1')))
    assert.ok(bytes < JSON.stringify(many).length / 5, `${bytes} bytes`)
  })

  test('that somebody else wrote are left out, and the others are read', async t => {
    const connection = (await makeRedis(t)).connect()
    const counters = createCounters(connection)
    await counters.publish(countersOf('lb-1', 2))
    const whole = gzipSync(JSON.stringify(countersOf('lb-2', 2)))
    const values = {
      'lb-2': whole.subarray(0, 40),
      'lb-3': Buffer.from([0x1f, 0x8b]),
      'lb-4': Buffer.from('{'),
    }
    for (const [node, value] of Object.entries(values))
      await connection.call(redis => redis.set(countersKey(node), value))
    assert.deepEqual(await counters.readAll(['lb-1', ...Object.keys(values)]), [countersOf('lb-1', 2)])
  })
})
