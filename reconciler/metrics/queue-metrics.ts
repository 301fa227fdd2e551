import { Gauge } from 'prom-client'
import type { Metrics } from './registry.ts'

export interface QueueMetrics {
  /** Null: Redis cannot be read. */
  show(found: { readonly wants: number; readonly reports: number } | null): void
}

export function createQueueMetrics({ registry }: Metrics): QueueMetrics {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] })
  const reachable = gauge('ballast_queue_reachable', '1 while Redis answers.')
  const wants = gauge('ballast_queue_wants', 'Nodes that have a want.')
  const reports = gauge('ballast_queue_reports', 'Nodes that have reported.')
  return {
    show(found) {
      reachable.set(found === null ? 0 : 1)
      wants.reset()
      reports.reset()
      if (found === null) return
      wants.set(found.wants)
      reports.set(found.reports)
    },
  }
}
