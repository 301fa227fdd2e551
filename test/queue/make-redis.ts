import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  connectRedis,
  type RedisConnection,
  type RedisConnectionOptions,
} from '../../reconciler/queue/connection.ts'
import { startEmbeddedRedis } from '../../reconciler/queue/embedded-redis.ts'

type Context = Pick<TestContext, 'after'>

/** A redis-server of the test's own, gone after it. */
export interface TestRedis {
  readonly dir: string
  readonly socket: string
  pid(): number
  /** kill -9, and gone when this settles. */
  kill(): Promise<void>
  /** Starts it again on the same folder, with what it had. */
  start(): Promise<void>
  /** A new connection, closed after the test. */
  connect(options?: Omit<RedisConnectionOptions, 'url' | 'socket'>): RedisConnection
  /** Runs after the test, while it still runs. */
  beforeItEnds(close: () => unknown): void
  /** Deletes everything that it holds. */
  empty(): Promise<void>
}

const makeFolder = (): string => mkdtempSync(join(tmpdir(), 'ballast-test-redis-'))
const removeFolder = (dir: string): void => rmSync(dir, { recursive: true, force: true })

export function temporaryFolder(t: Context): string {
  const dir = makeFolder()
  t.after(() => removeFolder(dir))
  return dir
}

export async function makeRedis(t: Context): Promise<TestRedis> {
  const dir = makeFolder()
  let server = await startEmbeddedRedis({ dir })
  const closing: (() => unknown)[] = []
  t.after(async () => {
    for (const close of closing.reverse()) await close()
    await server.stop()
    removeFolder(dir)
  })
  const connect: TestRedis['connect'] = options => {
    const connection = connectRedis({ socket: server.socket, ...options })
    closing.push(connection.close)
    return connection
  }
  return {
    dir,
    socket: server.socket,
    pid: () => server.pid,
    async kill() {
      process.kill(server.pid, 'SIGKILL')
      await server.stop()
    },
    async start() {
      server = await startEmbeddedRedis({ dir })
    },
    connect,
    beforeItEnds: close => closing.push(close),
    async empty() {
      await connect().call(redis => redis.flushall())
    },
  }
}

/** Waits for something that other processes bring about; fails when it has not come after 30 s. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`still not so after 30 s: ${what}`)
    await delay(10)
  }
}
