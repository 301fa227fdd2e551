import type { Pause } from '../../schemas/drift-policy.ts'
import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { renderTime } from './drift-file.ts'
import { episodesOf } from './find-drift.ts'
import type { MeasureEffect } from './traffic-effect.ts'

/** What one node reports of its drift, open and healed lately; `serviceOf`: the Service of a row of it, null for none. */
export function recordsOf(
  { node, want, drift, paused }: NodeReport,
  serviceOf: (key: RowKey) => string | null,
  measure: MeasureEffect,
): DriftRecord[] {
  const common = { version: DRIFT_RECORD_VERSION, node, revision: want?.revision ?? null } as const
  const records = drift.flatMap(item => {
    const [service, effect] = [serviceOf(item.key), measure(item)]
    return episodesOf(item).map((each): DriftRecord => ({ ...common, ...each, service, effect }))
  })
  return paused == null ? records : [...records, { ...common, ...describePause(paused) }]
}

const describePause = ({ since, until, why, by }: Pause) => ({
  driver: 'node',
  key: 'pause',
  kind: 'paused' as const,
  service: null,
  desired: null,
  observed: { until: renderTime(until), why, by },
  since,
  healedAt: null,
  effect: { share: 0, text: 'nothing is changed there' },
})
