import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeReport } from '../../schemas/report.ts'

/** Reports come every ten seconds. */
export const SILENT_AFTER_MS = 30_000
/** A worker that is started anew listens again before that. */
export const DEAF_AFTER_MS = 2_000
/** Signs of life come every second. A process that is stopped, or whose event loop hangs, gives none; one that is busy gives it later. */
export const STILL_AFTER_MS = 2_200
/** Of one step, as long as it gives signs of life: 10,000 rules of IPVS take 12 s in an emulated kernel. */
export const HANGS_AFTER_MS = 20_000

/** What is known of a worker beside its report. Times in ms since the epoch; null: not so, or not known. */
export interface Signs {
  /** When the rest was found. */
  readonly lookedAt: number
  /** When it was first seen not to listen for calls. */
  readonly deafSince: number | null
  /** When its last sign of life came, of a worker that gives them. */
  readonly heardAt: number | null
  /** The step that its round is in. */
  readonly doing: { readonly what: string; readonly since: number } | null
}

export const NO_SIGNS: Signs = { lookedAt: 0, deafSince: null, heardAt: null, doing: null }

/**
 * A node whose worker listens no more, gives no sign of life, hangs in a step, or has not reported for long; null: none of it.
 * What it holds is not known, and its dataplane may forward on.
 */
export function findUnreachable(report: NodeReport, now: number, signs: Signs): DriftRecord | null {
  const { node, at, want } = report
  const { lookedAt, deafSince, heardAt, doing } = signs
  const record = (since: number, observed: DriftRecord['observed'], text: string): DriftRecord => ({
    version: DRIFT_RECORD_VERSION,
    node,
    driver: 'node',
    key: 'report',
    kind: 'unreachable',
    service: null,
    revision: want?.revision ?? null,
    desired: null,
    observed,
    since,
    healedAt: null,
    effect: { share: null, text },
  })
  const silence = 'nobody knows what it does; the dataplane forwards without its worker'
  if (deafSince !== null && lookedAt - deafSince >= DEAF_AFTER_MS) return record(deafSince, null, silence)
  if (heardAt !== null && lookedAt - heardAt >= STILL_AFTER_MS) return record(heardAt, null, silence)
  if (doing !== null && lookedAt - doing.since >= HANGS_AFTER_MS) {
    const text = 'nothing is changed or repaired there; the dataplane forwards without its worker'
    return record(doing.since, { hangsIn: doing.what }, text)
  }
  return now - at > SILENT_AFTER_MS ? record(at, null, silence) : null
}
