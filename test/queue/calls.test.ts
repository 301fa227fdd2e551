import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { createWaker, listenForCalls, listenForWakes } from '../../reconciler/queue/wake.ts'
import { makeRedis, type TestRedis, until } from './make-redis.ts'

function listen(redis: TestRedis, node: string): number[] {
  const heard: number[] = []
  const connection = redis.connect()
  const calls = listenForCalls({ connection, node, onWake: async generation => void heard.push(generation) })
  redis.beforeItEnds(async () => calls.close())
  return heard
}

function makeWaker(redis: TestRedis) {
  const waker = createWaker(redis.connect())
  redis.beforeItEnds(() => waker.close())
  return waker
}

suite('a call', () => {
  test('comes to its node alone, and leaves no job behind', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const [one, two] = [listen(redis, 'lb1'), listen(redis, 'lb2')]
    await until('both listen, and look at once', () => one.length === 1 && two.length === 1)
    await waker.wakeAll(['lb1', 'lb2'], 7)
    await waker.wake('lb2', 8)
    await until('all came', () => one.length === 2 && two.length === 3)
    assert.deepEqual(
      [one, two],
      [
        [0, 7],
        [0, 7, 8],
      ],
    )
    const keys = await redis.connect().call(client => client.keys('*wake*'))
    assert.deepEqual(keys, [])
  })

  test('that nobody hears waits as a job, and those that somebody hears do not', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const heard = listen(redis, 'lb1')
    await until('it listens', () => heard.length === 1)
    await waker.wakeAll(['lb1', 'lb2'], 3)
    await until('the call came', () => heard.length === 2)
    const late: number[] = []
    const listener = await listenForWakes({
      connection: redis.connect(),
      node: 'lb2',
      onWake: async generation => void late.push(generation),
    })
    redis.beforeItEnds(() => listener.close())
    await until('the job came', () => late.length === 1)
    assert.deepEqual(late, [3])
  })
})
