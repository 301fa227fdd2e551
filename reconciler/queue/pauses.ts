import { Pause } from '../../schemas/drift-policy.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { pauseKey } from './keys.ts'

/** That somebody works on a node by hand, or has ended it. Written by commands; gone from Redis when no worker needs it any more. */
export interface Pauses {
  /** Null: nothing is known, as in a Redis that was emptied: the worker remembers. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(node: string): Promise<Pause | null>
  write(node: string, pause: Pause, now: number): Promise<void>
  /** The end of it is written too, or a worker would go by what it remembers. */
  end(node: string, pause: Pause, now: number): Promise<void>
}

/** A pause takes that long at most; a worker that hears of the end later does not need to. */
const LONGEST_MS = 24 * 3_600_000

export function createPauses(connection: RedisConnection): Pauses {
  const set = async (node: string, pause: Pause, ms: number): Promise<void> => {
    const text = JSON.stringify(Pause.parse(pause))
    await connection.call(redis => redis.set(pauseKey(node), text, 'PX', Math.max(1, ms)))
  }
  return {
    async read(node) {
      const text = await connection.call(redis => redis.get(pauseKey(node)))
      return text === null ? null : decode(Pause, pauseKey(node), text)
    },
    write: (node, pause, now) => set(node, pause, pause.until - now),
    end: (node, pause, now) => set(node, { ...pause, until: now }, LONGEST_MS),
  }
}
