import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPokes } from '../../reconciler/queue/pokes.ts'
import { makeRedis, until } from './make-redis.ts'

test('a poke is heard by other reconcilers, again after Redis was killed', async t => {
  const redis = await makeRedis(t)
  let heard = 0
  const listening = createPokes(redis.connect(), () => heard++)
  redis.beforeItEnds(listening.close)
  const telling = createPokes(redis.connect(), () => {})
  redis.beforeItEnds(telling.close)
  const isHeard = async (): Promise<void> => {
    const before = heard
    // Told again, since nobody keeps what is told before the other listens.
    await until('a poke is heard', () => {
      telling.tell()
      return heard > before
    })
  }
  await isHeard()
  await redis.kill()
  telling.tell()
  await redis.start()
  await isHeard()
  assert.ok(heard >= 2)
})
