import { RevisionState } from '../../schemas/revision-state.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { REVISION_KEY } from './keys.ts'

/** Where the reconciler stands with the repository, for `ballast status`. */
export interface Revisions {
  write(state: RevisionState): Promise<void>
  /** Null before the first. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(): Promise<RevisionState | null>
}

export function createRevisions(connection: RedisConnection): Revisions {
  return {
    async write(state) {
      const text = JSON.stringify(RevisionState.parse(state))
      await connection.call(redis => redis.set(REVISION_KEY, text))
    },
    async read() {
      const text = await connection.call(redis => redis.get(REVISION_KEY))
      return text === null ? null : decode(RevisionState, REVISION_KEY, text)
    },
  }
}
