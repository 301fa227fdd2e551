import { ALERT_VERSION, type Alert, type Notification, type ReceiverMemory } from '../../schemas/alert.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { AlertRule } from '../../schemas/drift-settings.ts'
import { describeDrift, describeEnd, renderDuration } from './describe-drift.ts'
import { driftPath } from './drift-path.ts'

export const emptyMemory = (): ReceiverMemory => ({ version: ALERT_VERSION, told: {}, waiting: {} })

export interface AlertInput {
  readonly records: readonly DriftRecord[]
  /** Whether what is not among the records of the node is gone. */
  readonly isKnown: (node: string) => boolean
  /** Of the receiver; the first that matches counts. */
  readonly rules: readonly AlertRule[]
  /** Labels of a node. */
  readonly labelsOf: (node: string) => Readonly<Record<string, string>>
  /** ms since the epoch. */
  readonly now: number
}

type Told = ReceiverMemory['told'][string]

/** Nodes report what healed for an hour. */
const FORGET_AFTER_MS = 7_200_000
/** The same drift is not told to have come back more often, ms. */
const REPEAT_MS = 30_000

/** What a receiver is to be told, once, of what nodes report. */
export function rememberDrift(memory: ReceiverMemory, input: AlertInput): ReceiverMemory {
  const episodes = Map.groupBy(input.records, driftPath)
  const next = { ...memory, told: { ...memory.told }, waiting: { ...memory.waiting } }
  for (const path of new Set([...episodes.keys(), ...Object.keys(memory.told)])) {
    const sorted = (episodes.get(path) ?? []).toSorted((a, b) => a.since - b.since)
    follow(next, path, sorted, input)
    const told = next.told[path]
    const isOld = told?.open === null && input.now - told.until > FORGET_AFTER_MS
    if (isOld && next.waiting[path] === undefined) delete next.told[path]
  }
  return next
}

function follow(
  memory: ReceiverMemory,
  path: string,
  episodes: readonly DriftRecord[],
  input: AlertInput,
): void {
  const open = memory.told[path]?.open ?? null
  if (open !== null) {
    const own = episodes.find(({ since }) => since >= open.since)
    const isGone = own === undefined && input.isKnown(open.node)
    const end = isGone ? { ...open, healedAt: Math.max(input.now, open.since) } : own
    if (end !== undefined && end.healedAt !== null) tell(memory, path, end, input, open)
  }
  for (const record of episodes) {
    const until = memory.told[path]?.until ?? Number.NEGATIVE_INFINITY
    if (memory.told[path]?.open != null || record.since <= until) continue
    const lasted = (record.healedAt ?? input.now) - record.since
    const rule = findRule(record, input)
    if (rule !== undefined && lasted >= rule.after) tell(memory, path, record, input, null)
  }
}

/** `open`: of which the receiver is told already, or soon. */
function tell(
  memory: ReceiverMemory,
  path: string,
  record: DriftRecord,
  input: AlertInput,
  open: DriftRecord | null,
): void {
  const told: Told | undefined = memory.told[path]
  const waiting = memory.waiting[path]
  const count = (waiting?.count ?? 0) + (open === null ? 1 : 0)
  const isFiring = told?.isFiring ?? false
  const ended = isFiring && count === 0 ? ('resolved' as const) : ('passed' as const)
  const alert = {
    status: record.healedAt === null ? ('firing' as const) : ended,
    // By its labels an alert is known: they stay while it fires.
    severity: (open && told?.severity) ?? findRule(record, input)?.severity ?? 'warning',
    count,
    first: waiting?.first ?? record.since,
    record,
  }
  memory.waiting[path] = { ...alert, summary: summarize(alert) }
  const { severity } = alert
  memory.told[path] = {
    open: record.healedAt === null ? record : null,
    until: record.healedAt ?? record.since,
    sentAt: told?.sentAt ?? null,
    isFiring,
    severity,
  }
}

function summarize({ record, count, first }: Omit<Alert, 'summary'>): string {
  const often =
    count > 1 ? `${count} times in ${renderDuration((record.healedAt ?? record.since) - first)}` : ''
  return [describeDrift(record), often, describeEnd(record) ?? ''].filter(part => part !== '').join(', ')
}

function findRule(record: DriftRecord, { rules, labelsOf }: AlertInput): AlertRule | undefined {
  return rules.find(({ kinds, nodes, services, minShare }) => {
    if (kinds !== undefined && !kinds.includes(record.kind)) return false
    if (services !== undefined && !(record.service !== null && services.includes(record.service)))
      return false
    if ((record.effect.share ?? 1) < minShare) return false
    if (nodes?.names !== undefined && !nodes.names.includes(record.node)) return false
    const labels = labelsOf(record.node)
    return Object.entries(nodes?.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  })
}

/** Alerts of one notification. */
const AT_ONCE = 100

/** What a receiver is told next, and when to ask again; what comes back too soon after the last time waits. */
export function nextNotification(
  { waiting, told }: ReceiverMemory,
  receiver: string,
  now: number,
): { readonly notification: Notification | null; readonly dueAt: number | null } {
  const dueOf = (path: string): number => {
    const sentAt = told[path]?.sentAt ?? null
    return sentAt === null || waiting[path]!.status === 'resolved' ? now : sentAt + REPEAT_MS
  }
  const paths = Object.keys(waiting).sort()
  const due = paths.filter(path => dueOf(path) <= now).slice(0, AT_ONCE)
  const later = paths.filter(path => !due.includes(path)).map(dueOf)
  const alerts = due.map(path => waiting[path]!)
  return {
    notification: alerts.length === 0 ? null : { version: ALERT_VERSION, receiver, at: now, alerts },
    dueAt: later.length === 0 ? null : Math.min(...later),
  }
}

/** The receiver took it. */
export function rememberSent(memory: ReceiverMemory, { alerts, at }: Notification): ReceiverMemory {
  const next = { ...memory, told: { ...memory.told }, waiting: { ...memory.waiting } }
  for (const alert of alerts) {
    const path = driftPath(alert.record)
    const told = next.told[path]
    if (told !== undefined) next.told[path] = { ...told, sentAt: at, isFiring: alert.status === 'firing' }
    const waiting = next.waiting[path]
    // It may have gone on meanwhile.
    if (waiting?.summary === alert.summary && waiting.status === alert.status) delete next.waiting[path]
    else if (waiting !== undefined) next.waiting[path] = { ...waiting, count: waiting.count - alert.count }
  }
  return next
}

export type Firing = Pick<Alert, 'record' | 'severity'>

/** What the receiver believes to be firing: it may want to hear it again. */
export const firingOf = ({ told, waiting }: ReceiverMemory): Firing[] =>
  Object.entries(told).flatMap(([path, { open, isFiring, severity }]) =>
    open !== null && isFiring && waiting[path] === undefined ? [{ record: open, severity }] : [],
  )
