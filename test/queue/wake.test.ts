import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startProgram } from '../../reconciler/process/run-command.ts'
import { createWaker, listenForWakes, type WakeListener } from '../../reconciler/queue/wake.ts'
import { makeRedis, type TestRedis, until } from './make-redis.ts'

async function listen(redis: TestRedis, onWake: (generation: number) => Promise<void>, node = 'lb1') {
  const listener = await listenForWakes({ connection: redis.connect(), node, onWake })
  redis.beforeItEnds(() => listener.close())
  return listener
}

async function collect(redis: TestRedis, node = 'lb1') {
  const heard: number[] = []
  await listen(redis, async generation => void heard.push(generation), node)
  return heard
}

function makeWaker(redis: TestRedis, deadline = 2_000) {
  const waker = createWaker(redis.connect({ deadline }))
  redis.beforeItEnds(() => waker.close())
  return waker
}

async function startListener(redis: TestRedis, workMs: number) {
  const file = fileURLToPath(new URL('./listener.ts', import.meta.url))
  const args = [file, redis.socket, 'lb1', String(workMs)]
  const program = await startProgram(process.execPath, args, { stdout: 'pipe' })
  redis.beforeItEnds(() => program.stop(0))
  const said: string[] = []
  program.stdout!.on('data', chunk => said.push(...String(chunk).trim().split('\n')))
  await until('it listens', () => said.includes('listening'))
  return { program, said }
}

suite('a wake-up', () => {
  test('comes to its node alone, with the generation', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const [one, two] = [await collect(redis, 'lb1'), await collect(redis, 'lb2')]
    await waker.wake('lb1', 1_760_000_000_000)
    await waker.wake('lb2', 2)
    await until('both came', () => one.length === 1 && two.length === 1)
    assert.deepEqual([one, two], [[1_760_000_000_000], [2]])
  })

  test('comes for A, for B, and for A again', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const heard = await collect(redis)
    for (const generation of [1, 2, 3]) {
      await waker.wake('lb1', generation)
      await until(`generation ${generation} came`, () => heard.at(-1) === generation)
    }
    await waker.wake('lb1', 3)
    await until('the same generation woke twice, an hour apart for all it knows', () => heard.length === 4)
  })

  test('that comes while one is worked on is worked on after it', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const said: string[] = []
    const go = Promise.withResolvers<void>()
    await listen(redis, async generation => {
      said.push(`began ${generation}`)
      await go.promise
      said.push(`ended ${generation}`)
    })
    await waker.wake('lb1', 1)
    await until('the first began', () => said.length === 1)
    await waker.wake('lb1', 2)
    go.resolve()
    await until('the second ended', () => said.length === 4)
    assert.deepEqual(said, ['began 1', 'ended 1', 'began 2', 'ended 2'])
  })

  test('waits for a worker that is not there yet; of very many some are enough, the last among them', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    for (let generation = 1; generation <= 35; generation++) await waker.wake('lb1', generation)
    const heard = await collect(redis)
    await until('the last came', () => heard.includes(35))
    assert.ok(heard.length <= 10, `${heard.length} wake-ups`)
  })

  test('is given again when its worker was killed in the middle of it', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const first = await startListener(redis, 60_000)
    await waker.wake('lb1', 7)
    await until('it works on it', () => first.said.includes('began 7'))
    process.kill(first.program.pid, 'SIGKILL')
    await first.program.exited
    const second = await startListener(redis, 0)
    await until('the next one is done with it', () => second.said.includes('ended 7'))
  })

  test('that fails is not repeated, and keeps none after it from coming', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const heard: number[] = []
    await listen(redis, async generation => {
      heard.push(generation)
      if (generation === 1) throw new Error('no')
    })
    await waker.wake('lb1', 1)
    await waker.wake('lb1', 2)
    await until('the second came', () => heard.includes(2))
    assert.deepEqual(heard, [1, 2])
  })

  test('settles with an error while Redis is down, and comes when it is back, emptied or not', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis, 300)
    const heard = await collect(redis)
    await waker.wake('lb1', 1)
    await until('the first came', () => heard.includes(1))
    await redis.kill()
    await assert.rejects(waker.wake('lb1', 2), { code: 'REDIS_UNREACHABLE' })
    await assert.rejects(waker.wake('lb3', 2), { code: 'REDIS_UNREACHABLE' })
    await redis.start()
    const wake = (generation: number) => () =>
      waker.wake('lb1', generation).then(
        () => true,
        () => false,
      )
    await until('it can wake again', wake(3))
    await until('the third came', () => heard.includes(3))
    await redis.empty()
    await until('it can wake again', wake(4))
    await until('the fourth came', () => heard.includes(4))
  })
})

suite('a listener', () => {
  async function closeInTime(listener: WakeListener): Promise<void> {
    const late = delay(20_000, 'late', { ref: false })
    assert.notEqual(await Promise.race([listener.close(), late]), 'late')
  }

  test('waits for what it works on when it is closed, and takes no more', async t => {
    const redis = await makeRedis(t)
    const waker = makeWaker(redis)
    const said: string[] = []
    const go = Promise.withResolvers<void>()
    const listener = await listen(redis, async generation => {
      said.push(`began ${generation}`)
      await go.promise
      said.push(`ended ${generation}`)
    })
    await waker.wake('lb1', 1)
    await until('it began', () => said.length === 1)
    await waker.wake('lb1', 2)
    const closed = closeInTime(listener)
    go.resolve()
    await closed
    assert.deepEqual(said, ['began 1', 'ended 1'])
    const next = await collect(redis)
    await until('the next listener gets what was left', () => next.includes(2))
  })

  test('can be closed while idle, while it works for ever, and while Redis is down', async t => {
    const redis = await makeRedis(t)
    await closeInTime(await listen(redis, async () => {}))
    const waker = makeWaker(redis)
    let began = false
    const busy = await listen(redis, async () => {
      began = true
      await new Promise(() => {})
    })
    await waker.wake('lb1', 1)
    await until('it began', () => began)
    await closeInTime(busy)
    const cut = await listen(redis, async () => {})
    await redis.kill()
    await closeInTime(cut)
    await closeInTime(await listen(redis, async () => {}))
  })
})
