import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { callChannel } from '../../reconciler/queue/keys.ts'
import type { Offer } from '../../reconciler/queue/offer.ts'
import { createStateStore } from '../../reconciler/queue/state-store.ts'
import { createWaker, listenForCalls, listenForWakes } from '../../reconciler/queue/wake.ts'
import { createWants } from '../../reconciler/queue/wants.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { makeRedis, type TestRedis, until } from './make-redis.ts'
import { fleetState } from './states.ts'

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

  test('of who publishes a want brings the want, and what it changes, to those who listen', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const wants = createWants(connection)
    const heard: (Offer | null)[] = []
    const calls = listenForCalls({
      connection,
      node: 'lb1',
      onWake: async (_generation, offer) => void heard.push(offer),
    })
    redis.beforeItEnds(async () => calls.close())
    await until('it listens', () => heard.length === 1)
    const store = createStateStore(connection)
    const next = fleetState('lb1', 30, { 7: 3 })
    for (const state of [fleetState('lb1', 30), next]) await store.put(state)
    const change = store.lastChange(next)
    assert.ok(change !== null)
    const [one, two] = ['lb1', 'lb2'].map(node => wantOf(node, 4)) as [Want, Want]
    const changes = new Map([one.node, two.node].map(node => [node, change]))
    assert.deepEqual(await wants.publishAll([one, two], changes), ['lb2'])
    assert.deepEqual(await wants.publishAll([wantOf('lb1', 5)]), [])
    await until('the offers came', () => heard.length === 3)
    assert.deepEqual(heard, [null, { want: one, change }, { want: wantOf('lb1', 5), change: null }])
    assert.deepEqual(await wants.read('lb1'), wantOf('lb1', 5))
  })

  test('that is too large to be told, or cannot be read, says only that there is a want', async t => {
    const redis = await makeRedis(t)
    const wants = createWants(redis.connect())
    const heard: number[] = []
    const offers: (Offer | null)[] = []
    const calls = listenForCalls({
      connection: redis.connect(),
      node: 'lb1',
      onWake: async (generation, offer) => {
        heard.push(generation)
        offers.push(offer)
      },
    })
    redis.beforeItEnds(async () => calls.close())
    await until('it listens', () => heard.length === 1)
    const store = createStateStore(redis.connect())
    const large = fleetState('lb1', 20_000)
    for (const state of [fleetState('lb1', 0), large]) await store.put(state)
    assert.equal(store.lastChange(large), null)
    await wants.publishAll([wantOf('lb1', 6)])
    await redis.connect().call(client => client.publish(callChannel('lb1'), '{"want":7}'))
    await until('both came', () => heard.length === 3)
    assert.deepEqual(heard, [0, 6, 0])
    assert.deepEqual(offers, [null, { want: wantOf('lb1', 6), change: null }, null])
  })
})

const wantOf = (node: string, generation: number): Want => ({
  version: WANT_VERSION,
  node,
  generation,
  revision: 'a'.repeat(40),
  stateDigest: 'b'.repeat(64),
  drift: 'repair',
  at: 1,
})
