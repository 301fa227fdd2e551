import { BallastError } from '../../schemas/ballast-error.ts'
import { Holds } from '../../schemas/hold.ts'
import { Rollout } from '../../schemas/rollout.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { HOLDS_KEY, ROLLOUT_KEY } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'

/** How far a revision has come, and what is held, for `ballast status` and for the reconciler that leads next. */
export interface Rollouts {
  write(rollout: Rollout): Promise<void>
  /** Null before the first. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(): Promise<Rollout | null>
  /** Null: nobody has held anything, or Redis was emptied. */
  readHolds(): Promise<Holds | null>
  /** By anybody: of two that write at once, one throws `HOLDS_MOVED`. `known`: what was read before. */
  writeHolds(next: Holds, known: Holds | null): Promise<void>
}

/** KEYS: holds. ARGV: the text that is known ('' for none), the new one. */
const REPLACE = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`

export function createRollouts(connection: RedisConnection, fence?: Fence): Rollouts {
  return {
    async write(rollout) {
      const text = JSON.stringify(Rollout.parse(rollout))
      const script = "redis.call('SET', KEYS[1], ARGV[1])"
      await evalFenced({ connection, fence, script, keys: [ROLLOUT_KEY], args: [text] })
    },
    async read() {
      const text = await connection.call(redis => redis.get(ROLLOUT_KEY))
      return text === null ? null : decode(Rollout, ROLLOUT_KEY, text)
    },
    async readHolds() {
      const text = await connection.call(redis => redis.get(HOLDS_KEY))
      return text === null ? null : decode(Holds, HOLDS_KEY, text)
    },
    async writeHolds(next, known) {
      const texts = [known === null ? '' : JSON.stringify(known), JSON.stringify(Holds.parse(next))]
      const written = await connection.call(redis => redis.eval(REPLACE, 1, HOLDS_KEY, ...texts))
      if (written === 1) return
      throw new BallastError({
        code: 'HOLDS_MOVED',
        message: 'somebody else has just changed what is held',
        hint: 'Look at `ballast status`, then try again.',
        retryable: true,
      })
    },
  }
}
