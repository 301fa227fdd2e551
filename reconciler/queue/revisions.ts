import { RevisionState } from '../../schemas/revision-state.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { REVISION_KEY } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'

/** Where the reconciler stands with the repository, for `ballast status`. */
export interface Revisions {
  write(state: RevisionState): Promise<void>
  /** Null before the first. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(): Promise<RevisionState | null>
}

export function createRevisions(connection: RedisConnection, fence?: Fence): Revisions {
  return {
    async write(state) {
      const text = JSON.stringify(RevisionState.parse(state))
      const script = "redis.call('SET', KEYS[1], ARGV[1])"
      await evalFenced({ connection, fence, script, keys: [REVISION_KEY], args: [text] })
    },
    async read() {
      const text = await connection.call(redis => redis.get(REVISION_KEY))
      return text === null ? null : decode(RevisionState, REVISION_KEY, text)
    },
  }
}
