import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { RedisConnection } from '../../reconciler/queue/connection.ts'
import { STATE_KEYS } from '../../reconciler/queue/keys.ts'
import { createStateStore } from '../../reconciler/queue/state-store.ts'
import { collectTexts, stateDigest, stateTree } from '../../reconciler/queue/state-tree.ts'
import { emptyTables, type NodeState } from '../../schemas/node-state.ts'
import { makeRedis, until } from './make-redis.ts'
import { arbitraryState, fleetState } from './states.ts'

const partsIn = async (connection: RedisConnection): Promise<string[]> =>
  (await connection.call(redis => redis.keys(STATE_KEYS))).sort()

const partsOf = (states: readonly NodeState[]): number =>
  new Set(states.flatMap(state => [...collectTexts(stateTree(state)).keys()])).size

/** Numbers that Redis counts: keys found by reads, commands by name. */
async function counted(connection: RedisConnection, what: () => Promise<unknown>) {
  await connection.call(redis => redis.config('RESETSTAT'))
  await what()
  const info = await connection.call(redis => redis.info('stats', 'commandstats'))
  const number = (pattern: RegExp): number => Number(pattern.exec(info)?.[1] ?? 0)
  return { hits: number(/keyspace_hits:(\d+)/), sets: number(/cmdstat_set:calls=(\d+)/) }
}

suite('the store of states', () => {
  test('gives back what was put, whatever the reader has already', async t => {
    const redis = await makeRedis(t)
    const [writer, reader] = [createStateStore(redis.connect()), createStateStore(redis.connect())]
    await fc.assert(
      fc.asyncProperty(arbitraryState, fc.option(arbitraryState, { nil: null }), async (state, have) => {
        const digest = await writer.put(state)
        assert.equal(digest, stateDigest(state))
        assert.deepEqual(await reader.get(digest, have), state)
      }),
      { numRuns: 40 },
    )
  })

  test('writes what nodes share once, and after that only what changed', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const store = createStateStore(connection)
    const nodes = Array.from({ length: 20 }, (_, index) => `lb${index}`)
    const states = nodes.map(node => fleetState(node, 300))
    const putAll = (all: readonly NodeState[]) => counted(connection, () => Promise.all(all.map(store.put)))
    assert.equal((await putAll(states)).sets, partsOf(states))
    assert.equal((await partsIn(connection)).length, partsOf(states))
    assert.equal((await putAll(states)).sets, 0, 'nothing when nothing changed')
    const changed = nodes.map(node => fleetState(node, 300, { 7: 5 }))
    assert.equal((await putAll(changed)).sets, 20 + 4, 'a root each; index, branch, bucket and row for all')
  })

  test('lets a node that has the state before fetch only what changed', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const store = createStateStore(connection)
    const before = fleetState('lb1', 300)
    const after = fleetState('lb1', 300, { 7: 5 })
    const digest = await store.put(after)
    const reader = createStateStore(connection)
    const cold = await counted(connection, () => createStateStore(connection).get(digest))
    assert.equal(cold.hits, partsOf([after]))
    const warm = await counted(connection, async () =>
      assert.deepEqual(await reader.get(digest, before), after),
    )
    assert.equal(warm.hits, 5)
    const same = await counted(connection, async () =>
      assert.deepEqual(await reader.get(digest, after), after),
    )
    assert.equal(same.hits, 0)
  })

  test('fetches what nodes of one process share once, whatever each has and though they ask at once', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const states = Array.from({ length: 20 }, (_, index) => fleetState(`lb${index}`, 300, { [index % 2]: 5 }))
    const digests = await Promise.all(states.map(createStateStore(connection).put))
    const reader = createStateStore(connection)
    const have = [null, null, fleetState('lb2', 320), fleetState('lb3', 20)]
    const { hits } = await counted(connection, async () => {
      const read = await Promise.all(digests.map((digest, index) => reader.get(digest, have[index] ?? null)))
      assert.deepEqual(read, states)
    })
    assert.equal(hits, partsOf(states) - 2, 'but for the interfaces of two, which they have')
  })

  test('gives null for a state of which a part is missing, whichever it is', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const store = createStateStore(connection)
    const state = fleetState('lb1', 5)
    const digest = await store.put(state)
    assert.equal(await store.get('0'.repeat(64)), null)
    for (const key of await partsIn(connection)) {
      const text = await connection.call(redis => redis.get(key))
      await connection.call(redis => redis.del(key))
      // What it has read it remembers, and needs no more.
      assert.equal(await createStateStore(connection).get(digest), null, key)
      await connection.call(redis => redis.set(key, text!))
    }
    assert.deepEqual(await store.get(digest), state)
  })

  test('tells a part that is not what was written there, and one that it cannot read', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const store = createStateStore(connection)
    const digest = await store.put(fleetState('lb1', 5))
    const row = (await partsIn(connection)).find(key => key.includes(':row:'))!
    await connection.call(redis => redis.set(row, '{"kind":"service"}'))
    await assert.rejects(store.get(digest), { code: 'STATE_CORRUPT' })

    const newer = {
      ...fleetState('lb1', 0),
      tables: { ...emptyTables(), xdp: { tomorrow: { kind: 'tomorrow' } } },
    }
    const unreadable = await store.put(newer as unknown as NodeState)
    await assert.rejects(store.get(unreadable), { code: 'STATE_UNREADABLE', hint: /same version/ })
  })

  test('prunes what nothing needs, and nothing else', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const store = createStateStore(connection)
    await connection.call(client => client.set('{ballast}:want:lb1', 'x'))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(arbitraryState, fc.boolean()), { maxLength: 6 }), async given => {
        for (const [state] of given) await store.put(state)
        const keep = given.filter(([, kept]) => kept).map(([state]) => state)
        const before = (await partsIn(connection)).length
        const removed = await store.prune([...keep.map(stateDigest), '0'.repeat(64)])
        assert.equal((await partsIn(connection)).length, partsOf(keep))
        assert.equal(removed, before - partsOf(keep))
        for (const state of keep) assert.deepEqual(await store.get(stateDigest(state)), state)
      }),
      { numRuns: 25 },
    )
    assert.equal(await connection.call(client => client.get('{ballast}:want:lb1')), 'x')
  })

  test('never loses a state that is put while another one is pruned', async t => {
    const redis = await makeRedis(t)
    const store = createStateStore(redis.connect())
    const [first, second] = [fleetState('lb1', 50), fleetState('lb1', 50, { 3: 1 })]
    for (let round = 0; round < 20; round++) {
      const [old, fresh] = round % 2 === 0 ? [first, second] : [second, first]
      await store.put(old)
      await Promise.all([
        store.prune([stateDigest(old)]),
        store.put(fresh),
        store.prune([stateDigest(fresh)]),
      ])
      assert.deepEqual(await store.get(stateDigest(fresh)), fresh)
    }
  })

  test('is whole again after Redis was emptied, and after it came back with less', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const store = createStateStore(connection)
    const state = fleetState('lb1', 50)
    const digest = await store.put(state)
    await redis.empty()
    assert.equal(await store.get(digest), null)
    await store.put(state)
    assert.deepEqual(await store.get(digest), state)

    const nodes = ['lb1', 'lb2', 'lb3']
    await Promise.all(nodes.map(node => store.put(fleetState(node, 50))))
    await connection.call(client => client.flushall())
    const next = nodes.map(node => fleetState(node, 50, { 3: 1 }))
    await Promise.all(next.map(store.put))
    for (const each of next)
      assert.deepEqual(await store.get(stateDigest(each)), each, 'emptied between puts')
    await store.put(state)

    const bucket = (await partsIn(connection)).find(key => key.includes(':bucket:'))!
    await connection.call(client => client.del(bucket))
    await redis.kill()
    await redis.start()
    await store.put(state)
    assert.deepEqual(await store.get(digest), state, 'a part was gone out of the middle')
  })

  test('says of every put whether it was written, also of those that were joined', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect({ deadline: 200 })
    const store = createStateStore(connection)
    await store.put(fleetState('lb0', 5))
    await redis.kill()
    const results = await Promise.allSettled(
      ['lb1', 'lb2', 'lb3'].map(node => store.put(fleetState(node, 5))),
    )
    for (const result of results)
      assert.equal(result.status === 'rejected' && result.reason.code, 'REDIS_UNREACHABLE')
    await assert.rejects(store.prune([]), { code: 'REDIS_UNREACHABLE' })
    await redis.start()
    await until('it can be put again', () =>
      store.put(fleetState('lb1', 5)).then(
        () => true,
        () => false,
      ),
    )
    const digest = stateDigest(fleetState('lb1', 5))
    assert.deepEqual(
      await store.get(digest),
      fleetState('lb1', 5),
      'and what failed does not stand in the way',
    )
  })
})
