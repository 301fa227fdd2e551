import { BallastError } from '../../schemas/ballast-error.ts'
import { HEARTBEAT_VERSION, type Heartbeat } from '../../schemas/heartbeat.ts'
import { createLoop } from '../process/loop.ts'
import type { RedisConnection } from './connection.ts'
import { heartbeatKey } from './keys.ts'

/** Of workers. */
const BEAT_MS = 1_000
/** One that beats no more is forgotten. */
const KEPT_MS = 60_000

export interface HeartbeatOptions {
  readonly connection: RedisConnection
  readonly node: string
  readonly doing: () => Heartbeat['doing']
}

/** Tells every second that this process runs, on its event loop, and what it is at. While Redis is away nobody hears it. */
export function startHeartbeat({ connection, node, doing }: HeartbeatOptions): { stop(): Promise<void> } {
  let beat = Date.now()
  let isRefused = false
  const loop = createLoop(
    async () => {
      beat += 1
      const heartbeat: Heartbeat = { version: HEARTBEAT_VERSION, beat, doing: doing() }
      await connection.call(redis => redis.set(heartbeatKey(node), JSON.stringify(heartbeat), 'PX', KEPT_MS))
      isRefused = false
    },
    error => {
      const wasRefused = isRefused
      isRefused = error instanceof BallastError && error.code === 'REDIS_REFUSED'
      // A Redis that is away is told by others.
      const level = isRefused && !wasRefused ? 'warn' : 'debug'
      connection.log[level](
        { node, err: error },
        'no sign of life can be given: that it hangs would be told late',
      )
    },
  )
  const timer = setInterval(() => loop.trigger('beat'), BEAT_MS)
  loop.trigger('beat')
  return {
    async stop() {
      clearInterval(timer)
      await loop.stop()
    },
  }
}

/** What these nodes' workers told last, as it stands there: a text that changes is a process that runs. Throws `REDIS_UNREACHABLE`. */
export async function readHeartbeats(
  connection: RedisConnection,
  nodes: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (nodes.length === 0) return new Map()
  const texts = await connection.call(redis => redis.mget(nodes.map(heartbeatKey)))
  return new Map(
    nodes.flatMap((node, at) => {
      const text = texts[at]
      return text == null ? [] : [[node, text] as const]
    }),
  )
}
