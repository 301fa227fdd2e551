import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import { recordsOf } from '../drift/fleet-drift.ts'
import { createEffectMeter } from '../drift/traffic-effect.ts'
import type { FleetDrift } from './drift-log.ts'

/** Collects what nodes report of their drift. */
export interface DriftCollector {
  reported(report: NodeReport): void
  read(): FleetDrift
}

/** `fleet`: what is accepted; null before anything is. */
export function createDriftCollector(fleet: () => DesiredFleet | null): DriftCollector {
  const measure = createEffectMeter()
  const byNode = new Map<
    string,
    { report: NodeReport; names: Names | null; records: readonly DriftRecord[] }
  >()

  function recordsOfNode(node: string, names: Names): readonly DriftRecord[] {
    const known = byNode.get(node)!
    if (known.names !== names)
      byNode.set(node, { ...known, names, records: recordsOf(known.report, names, measure) })
    return byNode.get(node)!.records
  }

  return {
    reported(report) {
      byNode.set(report.node, { report, names: null, records: [] })
    },
    read() {
      const nodes = fleet()?.nodes
      // One that is to leave is being emptied, which is no drift.
      const isLeaving = (node: string): boolean => nodes !== undefined && !nodes.has(node)
      return {
        records: [...byNode.keys()].flatMap(node =>
          isLeaving(node) ? [] : recordsOfNode(node, nodes?.get(node)?.names ?? NO_NAMES),
        ),
        isKnown: node => byNode.has(node) || isLeaving(node),
      }
    },
  }
}

type Names = Readonly<Record<RowKey, string>>

const NO_NAMES: Names = {}
