import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readHeartbeats, startHeartbeat } from '../../reconciler/queue/heartbeats.ts'
import { Heartbeat } from '../../schemas/heartbeat.ts'
import { makeRedis, until } from './make-redis.ts'

test('a process gives another sign of life every second, and goes on when Redis was emptied', async t => {
  const redis = await makeRedis(t)
  const connection = redis.connect()
  const heartbeat = startHeartbeat({
    connection,
    node: 'lb-1',
    doing: () => ({ what: 'xdp apply', forMs: 5 }),
  })
  redis.beforeItEnds(() => heartbeat.stop())
  const seen = new Set<string>()
  const read = async () => {
    for (const text of (await readHeartbeats(connection, ['lb-0', 'lb-1'])).values()) seen.add(text)
    return seen.size
  }
  await until('two signs', async () => (await read()) >= 2)
  await connection.call(client => client.flushall())
  const before = seen.size
  await until('another', async () => (await read()) > before)
  for (const text of seen)
    assert.deepEqual(Heartbeat.parse(JSON.parse(text)).doing, { what: 'xdp apply', forMs: 5 })
})
