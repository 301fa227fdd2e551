import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { MeasureEffect } from './traffic-effect.ts'

/** What one node reports of its drift, open and healed lately; `names`: the Service of each row of it. */
export function recordsOf(
  { node, want, drift }: NodeReport,
  names: Readonly<Record<RowKey, string>>,
  measure: MeasureEffect,
): DriftRecord[] {
  return drift.map(item => ({
    version: DRIFT_RECORD_VERSION,
    node,
    ...item,
    service: names[item.key] ?? null,
    revision: want?.revision ?? null,
    effect: measure(item),
  }))
}
