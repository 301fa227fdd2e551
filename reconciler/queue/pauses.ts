import { Pause } from '../../schemas/drift-policy.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { pauseKey } from './keys.ts'

/** That somebody works on a node by hand. Written by commands; gone from Redis when it ends. */
export interface Pauses {
  /** Null: nobody does. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(node: string): Promise<Pause | null>
  write(node: string, pause: Pause, now: number): Promise<void>
  /** Whether there was one. */
  end(node: string): Promise<boolean>
}

export const createPauses = (connection: RedisConnection): Pauses => ({
  async read(node) {
    const text = await connection.call(redis => redis.get(pauseKey(node)))
    return text === null ? null : decode(Pause, pauseKey(node), text)
  },
  async write(node, pause, now) {
    const text = JSON.stringify(Pause.parse(pause))
    await connection.call(redis => redis.set(pauseKey(node), text, 'PX', Math.max(1, pause.until - now)))
  },
  end: async node => (await connection.call(redis => redis.del(pauseKey(node)))) > 0,
})
