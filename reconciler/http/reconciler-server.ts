import { randomBytes } from 'node:crypto'
import type { ApiEvent } from '../../schemas/api/event.ts'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { Log } from '../log/log.ts'
import { createCounterMetrics } from '../metrics/counter-metrics.ts'
import { createDriftMetrics, type DriftTold } from '../metrics/drift-metrics.ts'
import { createHttpMetrics } from '../metrics/http-metrics.ts'
import { createNodeMetrics } from '../metrics/node-metrics.ts'
import { createQueueMetrics } from '../metrics/queue-metrics.ts'
import { createReconcileMetrics, type ReconcileMetrics } from '../metrics/reconcile-metrics.ts'
import { createMetrics } from '../metrics/registry.ts'
import { createAuthorizer } from './api/authorize.ts'
import { addApi, type FleetView } from './api/routes.ts'
import { parseTokens } from './api/tokens.ts'
import { type App, createApp } from './app.ts'
import { createEventLog } from './events/event-log.ts'
import { findNews } from './events/find-news.ts'
import { createEventStream } from './events/routes.ts'
import { addHealth, check } from './health.ts'
import { addMetrics } from './metrics-route.ts'
import { addPages, type PageKind } from './pages.ts'
import { createRateLimit } from './rate-limit.ts'
import { createBodyReader } from './read-body.ts'
import { openWatchedFile } from './watched-file.ts'
import { parseSecrets } from './webhook/read-secrets.ts'
import { addWebhooks } from './webhook/routes.ts'

export interface ReconcilerAppOptions {
  readonly version: string
  /** The branch that is followed; null: not known. */
  readonly branch: () => Promise<string | null>
  readonly webhookSecretFile: string | undefined
  readonly apiTokensFile: string | undefined
  readonly trustedProxies: string | undefined
  readonly fleet: FleetView & { readCounters(nodes: readonly string[]): Promise<readonly NodeCounters[]> }
  /** Somebody says that the branch moved; storms are joined by whoever is told. */
  readonly look: () => void
  /** A pull request has news; null: they are not reviewed here. */
  readonly review: ((number: number) => void) | null
  /** Null: there is no such page. */
  readonly readPage: (kind: PageKind, id: string) => Promise<string | null>
  readonly log: Log
  readonly now: () => number
}

export interface ReconcilerApp {
  readonly app: App
  readonly metrics: ReconcileMetrics
  publish(event: ApiEvent): void
  /** What the metrics of drift are read from. */
  watchDrift(read: () => Promise<DriftTold>): void
  reported(report: NodeReport): void
  /** Ends the streams of events, so that the server can stop. */
  end(): void
}

/** A storm of a thousand pushes in ten seconds is taken from one forge. */
const REQUESTS = { requests: 1_500, seconds: 10 }
const FAILURES = { requests: 60, seconds: 60 }

/** Everything that the reconciler answers. Throws `SECRET_FILE_UNUSABLE`. */
export function createReconcilerApp(options: ReconcilerAppOptions): ReconcilerApp {
  const { log, now, fleet, look, review, version } = options
  const all = createMetrics(version, now)
  const metrics = createHttpMetrics(all)
  const app = createApp({ log, metrics, trustedProxies: options.trustedProxies })
  const limits = { requests: createRateLimit(REQUESTS), failures: createRateLimit(FAILURES) }
  const events = createEventLog(randomBytes(6).toString('hex'))
  const ending = new AbortController()
  const reports = new Map<string, NodeReport>()

  const secretsOf = <Value>(
    setting: string,
    file: string | undefined,
    parse: (text: string) => { value: readonly Value[] } | { problem: string },
  ): (() => readonly Value[]) =>
    file === undefined ? () => [] : openWatchedFile({ setting, file, parse, log, now })

  addHealth(app, { version, now, checks: () => checkReadiness(fleet) })
  addMetrics(app, all)
  addPages(app, options.readPage)
  addWebhooks(app, {
    ...limits,
    secrets: secretsOf('webhookSecretFile', options.webhookSecretFile, parseSecrets),
    branch: options.branch,
    look,
    review,
    readBody: createBodyReader(),
    metrics,
    now,
  })
  addApi(app, {
    fleet,
    authorize: createAuthorizer({
      ...limits,
      tokens: secretsOf('apiTokensFile', options.apiTokensFile, parseTokens),
    }),
    streamEvents: createEventStream({ events, metrics, ending: ending.signal }),
    look,
  })
  const reconcileMetrics = createReconcileMetrics(all, now)
  const nodeMetrics = createNodeMetrics(all)
  const counterMetrics = createCounterMetrics(all)
  const queueMetrics = createQueueMetrics(all)
  all.beforeScrape(async () => {
    const found = await readFleet(fleet).catch((error: unknown) => {
      log.debug({ err: error }, 'a scrape without Redis')
      return null
    })
    queueMetrics.show(
      found && {
        wants: found.status.nodes.filter(({ wanted }) => wanted !== null).length,
        reports: found.reports.length,
      },
    )
    if (found === null) return
    reconcileMetrics.showRevisions(found.status.repository)
    nodeMetrics.show(found.status, new Map(found.reports.map(report => [report.node, report])))
    counterMetrics.show(found.counters)
  })

  return {
    app,
    metrics: reconcileMetrics,
    publish: events.publish,
    watchDrift: createDriftMetrics(all),
    reported(report) {
      for (const event of findNews(reports.get(report.node), report)) events.publish(event)
      reports.set(report.node, report)
    },
    end: () => ending.abort(),
  }
}

async function readFleet(fleet: ReconcilerAppOptions['fleet']) {
  const [status, reports] = await Promise.all([fleet.readStatus(), fleet.readReports()])
  const counters = await fleet.readCounters(reports.map(({ node }) => node))
  return { status, reports, counters }
}

async function checkReadiness(fleet: FleetView) {
  let status: FleetStatus | null = null
  const redis = await check('redis', async () => {
    status = await fleet.readStatus()
    return 'Redis answers.'
  })
  if (status === null) return [redis]
  const revision = await check('revision', async () => describeRevision(status!))
  return [redis, revision]
}

/** Throws when nothing is accepted: then the nodes are told nothing. */
function describeRevision({ repository }: FleetStatus): string {
  if (repository === null) throw new Error('The repository was not looked at yet.')
  const { accepted, rejected, problems, pull } = repository
  const refused =
    rejected &&
    `${rejected.revision.slice(0, 12)} is refused: ${rejected.diagnostics.find(({ severity }) => severity === 'error')?.message ?? 'it is not valid.'}`
  const trouble = [refused, pull?.error && `${pull.error.message}.`, problems[0]?.message].filter(Boolean)
  if (accepted === null) throw new Error(trouble.join(' ') || 'No revision is accepted yet.')
  return [`${accepted.slice(0, 12)} is accepted.`, ...trouble].join(' ')
}
