import type { NodeReport } from '../../schemas/report.ts'
import type { Digest, Want } from '../../schemas/want.ts'
import type { Board } from './publish-wants.ts'

/** Deletes from Redis the states that nobody needs any more. */
export interface Collector {
  /** Wants that were just published: what they replaced may be collected, when it is old enough. */
  published(changed: readonly Want[]): void
  /** Does nothing unless something was published since the last time, or since this process began. Gives how many parts went. */
  collect(reports: ReadonlyMap<string, NodeReport>): Promise<number>
}

/** A node that is late may still be reading the states of so many publications. */
const KEPT_PUBLICATIONS = 3

export function createCollector(board: Pick<Board, 'wants' | 'states'>): Collector {
  let recent: Digest[][] = []
  let due = true
  return {
    published(changed) {
      if (changed.length === 0) return
      const digests = [...new Set(changed.map(({ stateDigest }) => stateDigest))]
      recent = [digests, ...recent].slice(0, KEPT_PUBLICATIONS)
      due = true
    },
    async collect(reports) {
      if (!due) return 0
      const wants = await board.wants.readAll()
      const wanted = [...wants.values()].map(({ stateDigest }) => stateDigest)
      const reported = [...reports.values()].flatMap(({ want }) => (want === null ? [] : [want.stateDigest]))
      const removed = await board.states.prune([...new Set([...wanted, ...reported, ...recent.flat()])])
      due = false
      return removed
    },
  }
}
