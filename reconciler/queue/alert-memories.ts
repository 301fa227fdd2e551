import { ReceiverMemory } from '../../schemas/alert.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { alertsKey } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'

/** What receivers were told of drift, and what they are yet to be told. */
export interface AlertMemories {
  /** Null: nothing is known. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(receiver: string): Promise<ReceiverMemory | null>
  /** Throws `NOT_LEADING`. */
  write(receiver: string, memory: ReceiverMemory): Promise<void>
}

export const createAlertMemories = (connection: RedisConnection, fence?: Fence): AlertMemories => ({
  async read(receiver) {
    const text = await connection.call(redis => redis.get(alertsKey(receiver)))
    return text === null ? null : decode(ReceiverMemory, alertsKey(receiver), text)
  },
  async write(receiver, memory) {
    const script = "redis.call('SET', KEYS[1], ARGV[1])"
    await evalFenced({
      connection,
      fence,
      script,
      keys: [alertsKey(receiver)],
      args: [JSON.stringify(memory)],
    })
  },
})
