import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../reconciler/log/log.ts'
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

test('a process that Redis does not let tell it says so once', async t => {
  const redis = await makeRedis(t)
  await redis
    .connect()
    .call(client => client.call('ACL', 'SETUSER', 'lb-1', 'on', '>secret', '~*', '&*', '+@all', '-set'))
  const said: string[] = []
  const log = createLog({ level: 'debug', format: 'json', destination: { write: line => said.push(line) } })
  const connection = redis.connect({ log, username: 'lb-1', password: 'secret' })
  const heartbeat = startHeartbeat({ connection, node: 'lb-1', doing: () => null })
  redis.beforeItEnds(() => heartbeat.stop())
  const lines = (level: string) =>
    said.filter(line => line.includes('no sign of life') && line.includes(`"level":"${level}"`))
  await until('it was refused again', () => lines('debug').length > 0)
  assert.equal(lines('warn').length, 1)
  assert.match(lines('warn')[0]!, /REDIS_REFUSED.*NOPERM/)
})
