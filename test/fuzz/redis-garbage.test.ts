import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import type { Program } from '../../reconciler/process/run-command.ts'
import { connectRedis, type Redis } from '../../reconciler/queue/connection.ts'
import {
  countersKey,
  KEY_PREFIX,
  REPORT_STREAM_KEY,
  REPORTERS_KEY,
  REVISION_KEY,
  reportKey,
  STATE_KEYS,
  WANTS_KEY,
  wakeQueue,
  wantKey,
} from '../../reconciler/queue/keys.ts'
import { createWaker } from '../../reconciler/queue/wake.ts'
import { createFleet, makeFiles } from '../system/fleet.ts'
import { fuzzOptions } from './run-bounded.ts'

const NODE = 'lb-1'
const GENERATION = Number.MAX_SAFE_INTEGER
const HEX = 'a'.repeat(64)

/** Values that are nearly right, and values that are nothing. */
const want = {
  ...{ version: 1, node: NODE, generation: GENERATION, revision: 'a'.repeat(40), stateDigest: HEX },
  ...{ drift: 'repair', at: 1 },
}
const garbage = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.json(),
  fc.constantFrom('', 'null', '[]', '{}', '['.repeat(100_000), `"${'x'.repeat(5_000_000)}"`, '{"version":1}'),
  fc
    .constantFrom({ version: 99 }, { node: 'lb-2' }, { generation: -1 }, { stateDigest: '../x' }, {})
    .map(change => JSON.stringify({ ...want, ...change })),
)
const keys = fc.constantFrom(
  ...[wantKey(NODE), reportKey(NODE), reportKey('lb-9'), countersKey(NODE), REVISION_KEY],
  ...[WANTS_KEY, REPORTERS_KEY, REPORT_STREAM_KEY, 'state'],
)
const way = fc.constantFrom('string', 'list', 'member', 'entry', 'job')

async function damage(redis: Redis, key: string, how: string, value: string): Promise<void> {
  if (how === 'job') return wakeWithGarbage(redis, value)
  if (key === 'state') {
    const states = await redis.keys(STATE_KEYS)
    await Promise.all(states.map(state => redis.set(state, value)))
  } else if (how === 'list') await redis.multi().del(key).rpush(key, value).exec()
  else if (key === WANTS_KEY || key === REPORTERS_KEY) await redis.sadd(key, value).catch(() => {})
  else if (key === REPORT_STREAM_KEY) await redis.xadd(key, '*', value, value).catch(() => {})
  else await redis.set(key, value)
}

/** A job of BullMQ that is not of ours. */
async function wakeWithGarbage(redis: Redis, value: string): Promise<void> {
  const queue = `${KEY_PREFIX}:${wakeQueue(NODE)}`
  const id = `g${value.length}`
  await redis.hset(`${queue}:${id}`, {
    name: value,
    data: value,
    opts: value,
    timestamp: value,
    delay: value,
  })
  await redis.lpush(`${queue}:wait`, id).catch(() => {})
}

const peakMiB = async ({ pid }: Program): Promise<number> =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

test('garbage in every key that Ballast reads stops nothing, is applied nowhere, and is told', {
  timeout: 100_000,
}, async t => {
  const fleet = await createFleet(t)
  const [reconciler, worker] = [await fleet.startReconciler(), await fleet.startWorker(NODE)]
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: [NODE] })))
  const table = join(fleet.stateDir, 'nodes', NODE, 'simulated-xdp.json')
  const before = await readFile(table, 'utf8')
  const connection = connectRedis({ socket: join(fleet.stateDir, 'redis/redis.sock') })
  t.after(() => connection.close())

  const waker = createWaker(connection)
  t.after(() => waker.close())
  const draws = fc.sample(fc.tuple(keys, way, garbage), fuzzOptions(60))
  for (const [index, [key, how, value]] of draws.entries()) {
    await connection.call(redis => damage(redis, key, how, value))
    await waker.wake(NODE, index + 1).catch(() => {})
    await delay(50)
    assert.equal(await readFile(table, 'utf8'), before, `${key} as ${how}: ${value.slice(0, 200)}`)
  }
  const status = await fleet.ballast('status', '--state-dir', fleet.stateDir)
  assert.doesNotMatch(status.stderr, /^ +at .*\(?.*:\d+:\d+\)?$/m, 'an error in words, and not a stack')
  for (const program of [reconciler, worker]) {
    assert.equal(process.kill(program.pid, 0), true)
    assert.ok((await peakMiB(program)) < 1024)
  }
  assert.match(fleet.log(), /warn .*(QUEUE_VALUE_UNREADABLE|REDIS_FAILED|STATE_CORRUPT|STATE_UNREADABLE)/)

  await connection.call(redis => redis.flushall())
  const services = { web: { vip: 10, backends: [1, 2, 3] } }
  const last = await fleet.push(makeFiles({ nodes: [NODE], services }))
  // The lease that was lost with the rest, and the poll after a failure, take about ten seconds each.
  await fleet.untilApplied(last).catch(() => fleet.untilApplied(last))
})
