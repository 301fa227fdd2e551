import { Gauge } from 'prom-client'
import { type FleetStatus, NodeCondition } from '../../schemas/fleet-status.ts'
import { type NodeReport, Outcome } from '../../schemas/report.ts'
import type { Metrics } from './registry.ts'

export interface NodeMetrics {
  show(status: FleetStatus, reports: ReadonlyMap<string, NodeReport>): void
}

/** One series per node, and per node and state; nodes that are gone are gone here too. */
export function createNodeMetrics({ registry }: Metrics): NodeMetrics {
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  const state = gauge('ballast_node_state', '1 for the state that the node is in.', 'node', 'state')
  const outcome = gauge('ballast_node_apply_outcome', '1 for what came of its want.', 'node', 'outcome')
  const wanted = gauge('ballast_node_wanted_generation', 'Generation that the node should have.', 'node')
  const reported = gauge('ballast_node_reported_generation', 'Generation that the node reports.', 'node')
  const drift = gauge('ballast_node_drift_open', 'Rows that differ from what is wanted.', 'node')
  const failures = gauge('ballast_node_failures', 'Edits that could not be applied.', 'node')
  const age = gauge('ballast_node_report_age_seconds', 'Since the last report of the node.', 'node')
  const info = gauge(
    'ballast_node_info',
    'Always 1; the version of its worker is a label.',
    'node',
    'version',
  )
  const all = [state, outcome, wanted, reported, drift, failures, age, info]
  return {
    show({ nodes }, reports) {
      for (const each of all) each.reset()
      for (const { name: node, ...found } of nodes) {
        for (const each of NodeCondition.options)
          state.set({ node, state: each }, Number(found.state === each))
        if (found.wanted !== null) wanted.set({ node }, found.wanted.generation)
        if (found.reported !== null) reported.set({ node }, found.reported.generation)
        if (found.reportAge !== null) age.set({ node }, found.reportAge / 1000)
        drift.set({ node }, found.drift.filter(({ healedAt }) => healedAt === null).length)
        failures.set({ node }, found.failures.length)
        const report = reports.get(node)
        if (report === undefined) continue
        info.set({ node, version: report.worker.version }, 1)
        for (const each of Outcome.options)
          outcome.set({ node, outcome: each }, Number(report.outcome === each))
      }
    },
  }
}
