import { createEffectMeter } from '../../reconciler/drift/traffic-effect.ts'
import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import { backend, serviceRow } from '../plan/rows.ts'

export const WEB = 'service/203.0.113.10:80/tcp'

const measure = createEffectMeter()

/** Of lb-2: web without its second backend; `change` says otherwise. */
export function recordOf(change: Partial<DriftRecord> = {}): DriftRecord {
  const item = {
    driver: 'xdp' as const,
    key: WEB,
    kind: 'changed' as const,
    desired: serviceRow('203.0.113.10', [backend('10.0.1.1', 69), backend('10.0.1.13', 31)]),
    observed: serviceRow('203.0.113.10', [backend('10.0.1.1', 69)]),
    since: 1000,
    healedAt: null,
  }
  return {
    version: DRIFT_RECORD_VERSION,
    node: 'lb-2',
    service: 'web',
    revision: 'a'.repeat(40),
    effect: measure(item),
    ...item,
    ...change,
  }
}
