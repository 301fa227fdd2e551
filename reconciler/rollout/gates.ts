import type { Rollout, RolloutNode } from '../../schemas/rollout.ts'
import { judgeTraffic } from './judge-traffic.ts'
import { hasFailed, type Reports } from './reports.ts'

/** Failures of a probe in a row that close the gate: one may be chance. */
const PROBE_FAILURES = 3

export interface ClosedGate {
  readonly gate: string
  readonly message: string
}

/** The first gate that does not let the rollout go on; null: all are open. */
export function findClosedGate(rollout: Rollout, reports: Reports, now: number): ClosedGate | null {
  const { gates } = rollout
  const changed = rollout.nodes.filter(({ side }) => side === 'target')
  if (gates === null || changed.length === 0) return null
  return (
    judgeApply(rollout, changed, reports, now) ??
    judgeProbes(reports) ??
    judgeTraffic(rollout, changed, reports)
  )
}

/** Told to change, and could not, or not in time. */
export const isFailing = (
  node: RolloutNode,
  { deadlineMs }: Pick<Rollout, 'deadlineMs'>,
  reports: Reports,
  now: number,
): boolean =>
  node.side === 'target' &&
  (hasFailed(reports.nodes.get(node.name)) ||
    (node.changingSince !== null && now - node.changingSince > deadlineMs))

function judgeApply(
  rollout: Rollout,
  changed: readonly RolloutNode[],
  reports: Reports,
  now: number,
): ClosedGate | null {
  const failing = changed.filter(node => isFailing(node, rollout, reports, now))
  if (failing.length <= rollout.gates!.applyFailures) return null
  const said = failing.flatMap(({ name }) =>
    (reports.nodes.get(name)?.report?.failures ?? []).map(({ code, message }) => `${code}: ${message}`),
  )[0]
  const who = listNames(failing.map(({ name }) => name))
  return { gate: 'apply', message: `${who} did not apply it (${said ?? 'no answer in time'})` }
}

function judgeProbes({ probes }: Reports): ClosedGate | null {
  const dead = probes.find(({ failures }) => failures >= PROBE_FAILURES)
  if (dead === undefined) return null
  return { gate: 'probes', message: `${dead.name} cannot be reached (${dead.error ?? 'no answer'})` }
}

const NAMES_SHOWN = 5
const listNames = (names: readonly string[]): string =>
  names.slice(0, NAMES_SHOWN).join(', ') +
  (names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '')
