import { digestOf } from '../../schemas/digest.ts'
import type { LastGood } from '../../schemas/last-good.ts'
import { type NodeReport, REPORT_VERSION } from '../../schemas/report.ts'
import { Digest } from '../../schemas/want.ts'
import type { Status } from './node.ts'

/** Who reports, and when. `at` and `worker.startedAt` in ms since the epoch. */
export type Reporter = Pick<NodeReport, 'node' | 'at' | 'worker' | 'paused'>

export function makeReport(reporter: Reporter, lastGood: LastGood | null, status: Status): NodeReport {
  const want = lastGood?.want
  const rings = Digest.safeParse(status.seen?.facts.xdp?.rings)
  return {
    version: REPORT_VERSION,
    ...reporter,
    want:
      want === undefined
        ? null
        : { generation: want.generation, revision: want.revision, stateDigest: want.stateDigest },
    outcome: status.outcome,
    outcomeAt: status.outcomeAt,
    edits: status.edits,
    failures: [...status.failures],
    pending: [...status.pending],
    drift: [...status.drift],
    observedDigest: digestOf(status.seen?.digests ?? {}),
    ringsDigest: rings.success ? rings.data : null,
    facts: status.seen?.facts ?? {},
  }
}
