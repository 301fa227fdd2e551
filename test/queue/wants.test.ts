import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { wantKey } from '../../reconciler/queue/keys.ts'
import { createWants } from '../../reconciler/queue/wants.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { makeRedis } from './make-redis.ts'

const want = (generation: number, change: Partial<Want> = {}): Want => ({
  version: WANT_VERSION,
  node: 'lb1',
  generation,
  revision: 'a'.repeat(40),
  stateDigest: 'b'.repeat(64),
  drift: 'repair',
  at: 1,
  ...change,
})

suite('the want of a node', () => {
  test('is read as it was published, one by one and all together', async t => {
    const redis = await makeRedis(t)
    const wants = createWants(redis.connect())
    assert.equal(await wants.read('lb1'), null)
    assert.equal((await wants.readAll()).size, 0)
    const [one, two] = [want(Date.now()), want(7, { node: 'lb2' })]
    await wants.publish(one)
    await wants.publish(two)
    await wants.publish(two)
    assert.deepEqual(await wants.read('lb1'), one)
    assert.deepEqual(
      await wants.readAll(),
      new Map([
        ['lb1', one],
        ['lb2', two],
      ]),
    )
    await wants.remove('lb1')
    await wants.remove('lb1')
    assert.equal(await wants.read('lb1'), null)
    assert.deepEqual([...(await wants.readAll()).keys()], ['lb2'])
  })

  test('never gives way to an older one, whoever publishes in whatever order (rule 7)', async t => {
    const redis = await makeRedis(t)
    const publishers = [createWants(redis.connect()), createWants(redis.connect())]
    const generations = fc.uniqueArray(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), {
      minLength: 2,
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(generations, async order => {
        await publishers[0]!.remove('lb1')
        const results = await Promise.allSettled(
          order.map((generation, index) => publishers[index % 2]!.publish(want(generation))),
        )
        const highest = Math.max(...order)
        assert.equal((await publishers[1]!.read('lb1'))?.generation, highest)
        assert.equal(results[order.indexOf(highest)]?.status, 'fulfilled')
        for (const result of results) {
          if (result.status === 'rejected') assert.equal(result.reason.code, 'WANT_SUPERSEDED')
        }
      }),
      { numRuns: 40 },
    )
  })

  test('of a generation that is there already is refused when it is not the same', async t => {
    const redis = await makeRedis(t)
    const wants = createWants(redis.connect())
    await wants.publish(want(5))
    const other = want(5, { stateDigest: 'c'.repeat(64) })
    await assert.rejects(wants.publish(other), {
      code: 'WANT_SUPERSEDED',
      retryable: true,
      message: /generation 5/,
    })
    assert.deepEqual(await wants.read('lb1'), want(5))
  })

  test('that cannot be read is an error for its node, left out for all, and can be published over', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    const wants = createWants(connection)
    await wants.publish(want(5, { node: 'lb2' }))
    for (const text of [
      '{',
      '[]',
      '7',
      JSON.stringify({ ...want(5), version: 2 }),
      JSON.stringify({ ...want(5), x: 1 }),
    ]) {
      await wants.remove('lb1')
      await wants.publish(want(1))
      await connection.call(client => client.set(wantKey('lb1'), text))
      await assert.rejects(wants.read('lb1'), { code: 'QUEUE_VALUE_UNREADABLE', message: /want:lb1/ })
      assert.deepEqual([...(await wants.readAll()).keys()], ['lb2'])
      await wants.publish(want(6))
      assert.deepEqual(await wants.read('lb1'), want(6))
    }
  })

  test('is not published when it is none', async t => {
    const redis = await makeRedis(t)
    const wants = createWants(redis.connect())
    await assert.rejects(wants.publish(want(0)), { name: 'ZodError' })
    assert.equal(await wants.read('lb1'), null)
  })
})
