import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeReport } from '../../schemas/report.ts'

/** Reports come every ten seconds. */
export const SILENT_AFTER_MS = 30_000
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
