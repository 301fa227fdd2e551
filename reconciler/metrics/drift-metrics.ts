import { Gauge } from 'prom-client'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { Metrics } from './registry.ts'

/** What is known of drift, and of telling it by this process. */
export interface DriftTold {
  readonly records: readonly DriftRecord[]
  /** Null: drift is not committed. */
  readonly log: { readonly commits: number; readonly waiting: number; readonly problem: string | null } | null
  /** By receiver. */
  readonly alerts: ReadonlyMap<
    string,
    { readonly sent: number; readonly waiting: number; readonly problem: string | null }
  >
}

const SHOWN = 200

/** Reads at each scrape what `read` gives; nothing before that is known. */
export function createDriftMetrics(all: Metrics): (read: () => Promise<DriftTold>) => void {
  let readTold: (() => Promise<DriftTold>) | null = null
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge({ name, help, labelNames, registers: [all.registry] })
  const open = gauge('ballast_drift_open', 'Open drift by node and kind.', 'node', 'kind')
  const share = gauge(
    'ballast_drift_flows_share',
    'Largest share of the flows of a service, or of a node, that open drift affects, 0 to 1.',
    'node',
  )
  const since = gauge(
    'ballast_drift_since_timestamp_seconds',
    `When open drift was first seen; of more than ${SHOWN} the oldest.`,
    ...(['node', 'driver', 'key', 'kind', 'service'] as const),
  )
  const commits = gauge('ballast_drift_commits', 'Commits of drift that this process made.')
  const waiting = gauge('ballast_drift_commits_waiting', 'Commits of drift that are not pushed yet.')
  const failing = gauge('ballast_drift_push_failing', '1 while commits of drift cannot be pushed.')
  const sent = gauge('ballast_alerts_sent', 'Alerts that a receiver took from this process.', 'receiver')
  const unsent = gauge('ballast_alerts_waiting', 'Alerts that a receiver has not taken yet.', 'receiver')
  const refused = gauge('ballast_alerts_failing', '1 while a receiver takes none.', 'receiver')
  const perLabel = [open, share, since, sent, unsent, refused]
  all.beforeScrape(async () => {
    if (readTold === null) return
    const { records, log, alerts } = await readTold()
    for (const each of perLabel) each.reset()
    const shares = new Map<string, number>()
    const lasting = records.filter(({ healedAt }) => healedAt === null)
    for (const { node, driver, key, kind, ...each } of lasting
      .toSorted((a, b) => a.since - b.since)
      .slice(0, SHOWN))
      since.set({ node, driver, key, kind, service: each.service ?? '' }, each.since / 1000)
    for (const { node, kind, effect } of lasting) {
      open.inc({ node, kind })
      shares.set(node, Math.max(shares.get(node) ?? 0, effect.share ?? 0))
    }
    for (const [node, value] of shares) share.set({ node }, value)
    commits.set(log?.commits ?? 0)
    waiting.set(log?.waiting ?? 0)
    failing.set(log?.problem == null ? 0 : 1)
    for (const [receiver, state] of alerts) {
      sent.set({ receiver }, state.sent)
      unsent.set({ receiver }, state.waiting)
      refused.set({ receiver }, state.problem === null ? 0 : 1)
    }
  })
  return read => {
    readTold = read
  }
}
