import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { WANT_VERSION, type Want } from '../../schemas/want.ts'
import { makeFleetStatus } from '../drift/make-fleet-status.ts'
import type { Log } from '../log/log.ts'
import { createCounterMetrics } from '../metrics/counter-metrics.ts'
import { createHttpMetrics } from '../metrics/http-metrics.ts'
import { createNodeMetrics } from '../metrics/node-metrics.ts'
import { createMetrics } from '../metrics/registry.ts'
import { type App, createApp } from './app.ts'
import { addHealth, check } from './health.ts'
import { addMetrics } from './metrics-route.ts'

export interface WorkerAppOptions {
  readonly version: string
  /** What it said last of itself; null: nothing yet. */
  readonly report: () => NodeReport | null
  readonly counters: () => NodeCounters | null
  /** Throws a `BallastError` when Redis does not answer. */
  readonly pingRedis: () => Promise<void>
  readonly log: Log
  readonly now: () => number
}

/** What a worker answers: health and metrics of its node, for whoever watches it; nothing can be asked of it. */
export function createWorkerApp(options: WorkerAppOptions): App {
  const { version, report, counters, pingRedis, log, now } = options
  const all = createMetrics(version, now)
  const app = createApp({ log, metrics: createHttpMetrics(all) })
  const nodeMetrics = createNodeMetrics(all)
  const counterMetrics = createCounterMetrics(all)
  addHealth(app, {
    version,
    now,
    checks: async () => [
      await check('redis', async () => {
        await pingRedis()
        return 'Redis answers.'
      }),
      await check('node', async () => describeNode(report())),
    ],
  })
  all.beforeScrape(async () => {
    const last = report()
    const reports = new Map(last === null ? [] : [[last.node, last] as const])
    // It knows of no want but the one that it took.
    const wants = new Map(last?.want == null ? [] : [[last.node, wantOf(last, last.want)] as const])
    nodeMetrics.show(makeFleetStatus({ revisions: null, wants, reports, now: now() }), reports)
    const counted = counters()
    counterMetrics.show(counted === null ? [] : [counted])
  })
  addMetrics(app, all)
  return app
}

const wantOf = ({ node, at }: NodeReport, want: NonNullable<NodeReport['want']>): Want => ({
  version: WANT_VERSION,
  node,
  at,
  drift: 'repair',
  ...want,
})

/** Throws when the node does not hold what it should. */
function describeNode(report: NodeReport | null): string {
  if (report === null || report.want === null) throw new Error('Nothing is asked of this node yet.')
  const { outcome, want, failures } = report
  const words = `Generation ${want.generation}: ${outcome ?? 'under way'}.`
  if (outcome === 'failed' || outcome === 'refused' || outcome === null) {
    throw new Error(`${words} ${failures[0]?.message ?? ''}`.trim())
  }
  return words
}
