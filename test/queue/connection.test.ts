import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { connectRedis } from '../../reconciler/queue/connection.ts'
import { makeRedis, temporaryFolder, until } from './make-redis.ts'

suite('a connection to Redis', () => {
  test('settles every call while Redis is down, and goes on by itself when it is back', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect({ deadline: 300 })
    let ready = 0
    connection.onReady(() => ready++)
    await connection.call(client => client.set('a', '1'))
    await redis.kill()
    for (let call = 0; call < 3; call++) {
      await assert.rejects(
        connection.call(client => client.get('a')),
        {
          name: 'BallastError',
          code: 'REDIS_UNREACHABLE',
          retryable: true,
          message: new RegExp(redis.socket),
        },
      )
    }
    await redis.start()
    await until('it answers', () =>
      connection
        .call(client => client.get('a'))
        .then(
          value => value === '1',
          () => false,
        ),
    )
    assert.equal(ready, 2, 'told of both connections')
    connection.onReady(() => ready++)
    assert.equal(ready, 3, 'told at once when it can be used now')
  })

  test('can be opened before Redis is there', async t => {
    const dir = temporaryFolder(t)
    const connection = connectRedis({ socket: `${dir}/redis.sock`, deadline: 100 })
    t.after(() => connection.close())
    await assert.rejects(
      connection.call(client => client.ping()),
      { code: 'REDIS_UNREACHABLE', message: /ENOENT/ },
    )
  })

  test('settles a call to a Redis that hangs, and uses it again when it does not', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect({ deadline: 200 })
    await connection.call(client => client.ping())
    process.kill(redis.pid(), 'SIGSTOP')
    try {
      await assert.rejects(
        connection.call(client => client.ping()),
        { code: 'REDIS_UNREACHABLE' },
      )
    } finally {
      process.kill(redis.pid(), 'SIGCONT')
    }
    await until('it answers', () =>
      connection
        .call(client => client.ping())
        .then(
          () => true,
          () => false,
        ),
    )
  })

  test('takes an answer that came in time, also when the process was too busy to read it', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect({ deadline: 800 })
    await connection.call(client => client.ping())
    const answer = connection.call(client => {
      const asked = client.ping()
      queueMicrotask(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 900))
      return asked
    })
    assert.equal(await answer, 'PONG')
  })

  test('refuses a Redis that may drop keys, until that is mended', async t => {
    const redis = await makeRedis(t)
    const operator = redis.connect()
    await operator.call(client => client.config('SET', 'maxmemory-policy', 'allkeys-lru'))
    const connection = redis.connect()
    let ready = 0
    connection.onReady(() => ready++)
    for (let call = 0; call < 2; call++) {
      await assert.rejects(
        connection.call(client => client.set('a', '1')),
        {
          code: 'REDIS_MAY_EVICT',
          hint: /noeviction/,
        },
      )
    }
    assert.equal(ready, 0)
    await operator.call(client => client.config('SET', 'maxmemory-policy', 'noeviction'))
    await connection.call(client => client.set('a', '1'))
    assert.equal(ready, 1)
  })

  test('tells what Redis does not allow from what it cannot do', async t => {
    const redis = await makeRedis(t)
    const operator = redis.connect()
    await operator.call(client =>
      client.acl('SETUSER', 'worker', 'on', '>secret', '~{ballast}:*', '+@all', '-flushall'),
    )
    const worker = redis.connect({ username: 'worker', password: 'secret' })
    await worker.call(client => client.set('{ballast}:a', '1'))
    await assert.rejects(
      worker.call(client => client.flushall()),
      { code: 'REDIS_REFUSED' },
    )
    await assert.rejects(
      worker.call(client => client.get('other')),
      { code: 'REDIS_REFUSED' },
    )
    await assert.rejects(
      worker.call(client => client.lpush('{ballast}:a', '1')),
      {
        code: 'REDIS_FAILED',
        retryable: false,
        message: /WRONGTYPE/,
      },
    )
    const stranger = redis.connect({ username: 'worker', password: 'wrong', deadline: 300 })
    await assert.rejects(
      stranger.call(client => client.ping()),
      { code: 'REDIS_REFUSED', message: /WRONGPASS/ },
    )
  })

  test('that was closed fails at once, and lets the process end', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect({ deadline: 60_000 })
    await connection.call(client => client.ping())
    connection.close()
    await assert.rejects(
      connection.call(client => client.ping()),
      { code: 'REDIS_UNREACHABLE' },
    )
    const never = connectRedis({ socket: `${redis.dir}/nobody.sock`, deadline: 60_000 })
    const waiting = never.call(client => client.ping())
    never.close()
    await assert.rejects(waiting, { code: 'REDIS_UNREACHABLE' })
  })
})
