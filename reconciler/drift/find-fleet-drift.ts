import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeReport } from '../../schemas/report.ts'

/** Reports come every ten seconds. */
const SILENT_AFTER_MS = 30_000
/** A worker that is started anew listens again before that. */
export const DEAF_AFTER_MS = 2_000

/**
 * A node that gave no sign for long, or whose worker listens no more; null: neither. What it holds is not known, and its
 * dataplane may forward on. `deafSince`: when it was first seen not to listen; null: it does, or that is not known.
 */
export function findUnreachable(
  { node, at, want }: NodeReport,
  now: number,
  deafSince: number | null,
): DriftRecord | null {
  const isDeaf = deafSince !== null && now - deafSince >= DEAF_AFTER_MS
  if (!isDeaf && now - at <= SILENT_AFTER_MS) return null
  return {
    version: DRIFT_RECORD_VERSION,
    node,
    driver: 'node',
    key: 'report',
    kind: 'unreachable',
    service: null,
    revision: want?.revision ?? null,
    desired: null,
    observed: null,
    since: isDeaf ? deafSince : at,
    healedAt: null,
    effect: { share: null, text: 'nobody knows what it does; the dataplane forwards without its worker' },
  }
}

export interface RingsInput {
  /** Of nodes that serve the same, by name. */
  readonly reports: readonly NodeReport[]
  readonly now: number
  /** When each was first seen to disagree, ms since the epoch. */
  readonly since: ReadonlyMap<string, number>
}

/** Of one revision, both applied: what is repaired at once is no disagreement. */
export const CONVERGES_WITHIN_MS = 400

/**
 * Nodes that serve the same, have applied the same revision (or hold what drifted from it), and choose other backends than most of them: a packet that
 * ECMP sends there goes elsewhere (rule 4). `since` is to be remembered; those that are only converging are told in it alone.
 */
export function findDisagreement({ reports, now, since }: RingsInput): {
  readonly records: readonly DriftRecord[]
  readonly since: ReadonlyMap<string, number>
} {
  const fresh = reports.filter(
    ({ at, outcome, paused, ringsDigest }) =>
      (outcome === 'applied' || (outcome === 'held' && paused == null)) &&
      ringsDigest !== null &&
      now - at <= SILENT_AFTER_MS,
  )
  const byRevision = Map.groupBy(fresh, ({ want }) => want?.revision ?? '')
  const disagreeing = [...byRevision.values()].flatMap(group => {
    const byDigest = [...Map.groupBy(group, ({ ringsDigest }) => ringsDigest!)].sort(
      ([a, one], [b, two]) => two.length - one.length || (a < b ? -1 : 1),
    )
    const [most] = byDigest
    return most === undefined
      ? []
      : byDigest.slice(1).flatMap(([, few]) => few.map(report => ({ report, most: most[0] })))
  })
  const first = new Map(
    disagreeing.map(({ report }) => [report.node, since.get(report.node) ?? now] as const),
  )
  const records = disagreeing
    .filter(({ report }) => now - first.get(report.node)! >= CONVERGES_WITHIN_MS)
    .map(
      ({ report, most }): DriftRecord => ({
        version: DRIFT_RECORD_VERSION,
        node: report.node,
        driver: 'node',
        key: 'rings',
        kind: 'rings-disagree',
        service: null,
        revision: report.want?.revision ?? null,
        desired: most,
        observed: report.ringsDigest,
        since: first.get(report.node)!,
        healedAt: null,
        effect: { share: null, text: 'the same packet goes to another backend there' },
      }),
    )
  return { records, since: first }
}
