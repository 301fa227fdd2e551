import assert from 'node:assert/strict'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { startEmbeddedRedis } from '../../reconciler/queue/embedded-redis.ts'
import { makeRedis, temporaryFolder, until } from './make-redis.ts'

const MODULE = fileURLToPath(new URL('../../reconciler/queue/embedded-redis.ts', import.meta.url))

const script = (body: string, dir: string): string[] => [
  '--input-type=module',
  '--eval',
  `import { runEmbeddedRedis, startEmbeddedRedis } from ${JSON.stringify(MODULE)}
   const dir = ${JSON.stringify(dir)}
   ${body}`,
]

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

suite('the embedded Redis', () => {
  test('is started once, whoever asks at the same time, and ended by the one who started it', async t => {
    const dir = temporaryFolder(t)
    const all = await Promise.all([1, 2, 3].map(() => startEmbeddedRedis({ dir })))
    const late = await startEmbeddedRedis({ dir })
    t.after(() => Promise.all(all.map(redis => redis.stop())))
    assert.equal(new Set([...all, late].map(({ pid }) => pid)).size, 1)
    await late.stop()
    assert.ok(isRunning(late.pid), 'somebody else started it')
    await Promise.all(all.map(redis => redis.stop()))
    await until('it is gone', () => !isRunning(late.pid))
  })

  test('listens on a socket of its owner alone, writes everything to disk and drops nothing', async t => {
    const redis = await makeRedis(t)
    assert.equal(statSync(redis.socket).mode & 0o777, 0o700)
    const connection = redis.connect()
    const setting = async (name: string): Promise<unknown> =>
      ((await connection.call(client => client.config('GET', name))) as string[])[1]
    assert.equal(await setting('appendonly'), 'yes')
    assert.equal(await setting('appendfsync'), 'everysec')
    assert.equal(await setting('maxmemory-policy'), 'noeviction')
    assert.equal(await setting('port'), '0')
  })

  test('has what it had after it was stopped, and after it was killed', async t => {
    const redis = await makeRedis(t)
    const connection = redis.connect()
    await connection.call(client => client.set('a', '1'))
    await redis.kill()
    await redis.start()
    assert.equal(await connection.call(client => client.get('a')), '1')
  })

  test('that hangs is waited for; its socket is not taken from it', async t => {
    const redis = await makeRedis(t)
    process.kill(redis.pid(), 'SIGSTOP')
    const asked = startEmbeddedRedis({ dir: redis.dir })
    setTimeout(() => process.kill(redis.pid(), 'SIGCONT'), 300)
    assert.equal((await asked).pid, redis.pid())
  })

  test('ends with the process that started it', async t => {
    const dir = temporaryFolder(t)
    const body = 'console.log((await startEmbeddedRedis({ dir })).pid); process.exit(0)'
    const { stdout } = await runCommand(process.execPath, script(body, dir))
    await until('it is gone', () => !isRunning(Number(stdout)))
  })

  test('lets a process that has nothing more to do come to its end', async t => {
    const dir = temporaryFolder(t)
    const { stdout } = await runCommand(
      process.execPath,
      script('console.log((await startEmbeddedRedis({ dir })).pid)', dir),
    )
    await until('it is gone', () => !isRunning(Number(stdout)))
  })

  test('in the foreground takes the place of the process, with its signals and its exit code', async t => {
    const dir = temporaryFolder(t)
    const program = await startProgram(process.execPath, script('await runEmbeddedRedis({ dir })', dir))
    t.after(() => program.stop())
    const found = async (): Promise<number> => (await startEmbeddedRedis({ dir })).pid
    await until(
      'the socket is there',
      () => statSync(join(dir, 'redis.sock'), { throwIfNoEntry: false }) !== undefined,
    )
    assert.equal(await found(), program.pid)
    const again = script('await runEmbeddedRedis({ dir }).catch(({ code }) => console.log(code))', dir)
    assert.equal((await runCommand(process.execPath, again)).stdout, 'REDIS_ALREADY_RUNNING\n')
    assert.deepEqual(await program.stop(10_000), { exitCode: 0, signal: null })
  })

  test('says so when a path is too long for a socket', async t => {
    const dir = join(temporaryFolder(t), 'd'.repeat(100))
    mkdirSync(dir)
    await assert.rejects(startEmbeddedRedis({ dir }), { code: 'SOCKET_PATH_TOO_LONG' })
  })

  test('says so when no server is installed', async t => {
    const { PATH } = process.env
    t.after(() => {
      process.env.PATH = PATH
    })
    process.env.PATH = '/nonexistent'
    const dir = temporaryFolder(t)
    await assert.rejects(startEmbeddedRedis({ dir }), {
      code: 'REDIS_NOT_INSTALLED',
      hint: /apt-get install/,
    })
  })
})
