import type { Facts } from '../../schemas/report.ts'
import type { Rollout, RolloutNode, TrafficCounts } from '../../schemas/rollout.ts'
import { hasFailed, isReached, type Reports } from './reports.ts'

/** Failures of a probe in a row that close the gate: one may be chance. */
const PROBE_FAILURES = 3
/** Less than this on the changed nodes says nothing about a share. */
const LEAST_PACKETS = 100
const LEAST_FLOWS = 20

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

const MEASURES = [
  { gate: 'drops', what: 'packets dropped', of: 'dropped', among: 'packets', least: LEAST_PACKETS },
  {
    gate: 'resets',
    what: 'packets of flows that lost their backend',
    of: 'reset',
    among: 'packets',
    least: LEAST_PACKETS,
  },
  {
    gate: 'newFlowFailures',
    what: 'new flows without a backend',
    of: 'failedFlows',
    among: 'newFlows',
    least: LEAST_FLOWS,
  },
] as const

/** Shares on changed nodes against the same time on unchanged ones; where there are none, against their own past. */
function judgeTraffic(
  rollout: Rollout,
  changed: readonly RolloutNode[],
  reports: Reports,
): ClosedGate | null {
  const since = sumGrowth(changed, reports)
  const others = sumGrowth(
    rollout.nodes.filter(({ side }) => side === 'base'),
    reports,
  )
  const past = sum(changed.flatMap(({ counted }) => counted ?? []))
  for (const { gate, what, of, among, least } of MEASURES) {
    if (since[among] < least) continue
    const share = since[of] / since[among]
    const against = others[among] >= least ? others : past
    const usual = against[among] === 0 ? 0 : against[of] / against[among]
    if (share - usual <= rollout.gates![gate]) continue
    const whose = against === others ? 'on unchanged nodes' : 'before'
    return { gate, message: `${what}: ${percent(share)} on changed nodes, ${percent(usual)} ${whose}` }
  }
  return null
}

/** What was counted since the baselines. Of a node whose counters began again nothing is known. */
function sumGrowth(nodes: readonly RolloutNode[], reports: Reports): TrafficCounts {
  return sum(
    nodes.flatMap(({ name, counted, changingSince }) => {
      const view = reports.nodes.get(name)
      const now = countsOf(view?.report?.facts ?? {})
      if (counted === null || now === null || (changingSince !== null && !isReached(view))) return []
      const grown = mapCounts(key => now[key] - counted[key])
      return KEYS.some(key => grown[key] < 0) ? [] : [grown]
    }),
  )
}

const KEYS = ['packets', 'dropped', 'reset', 'newFlows', 'failedFlows'] as const
const mapCounts = (count: (key: (typeof KEYS)[number]) => number): TrafficCounts => ({
  packets: count('packets'),
  dropped: count('dropped'),
  reset: count('reset'),
  newFlows: count('newFlows'),
  failedFlows: count('failedFlows'),
})
const sum = (all: readonly TrafficCounts[]): TrafficCounts =>
  mapCounts(key => all.reduce((total, counts) => total + counts[key], 0))

/** Reasons of the packet path for which a packet of a VIP goes nowhere, through no fault of its own. */
const DROPS = ['drop_no_backend', 'drop_no_source', 'drop_no_route', 'drop_too_big', 'drop_unmatched']
const FAILED_FLOWS = ['drop_no_backend', 'drop_no_source', 'drop_no_route']
const FORWARDED = ['forwarded_flow', 'forwarded_ring', 'forwarded_untracked']
const NEW_FLOWS = ['forwarded_ring', 'forwarded_untracked']

/** From the facts of the XDP driver; null: this dataplane counts nothing. */
export function countsOf(facts: { readonly xdp?: Facts | undefined }): TrafficCounts | null {
  const reasons = facts.xdp?.reasons
  if (typeof reasons !== 'object' || reasons === null) return null
  const packetsOf = (names: readonly string[]): number =>
    names.reduce((total, name) => total + packetsIn((reasons as Facts)[name]), 0)
  const dropped = packetsOf(DROPS)
  const failedFlows = packetsOf(FAILED_FLOWS)
  return {
    packets: packetsOf(FORWARDED) + dropped,
    dropped,
    reset: packetsOf(['flow_rehashed']),
    newFlows: packetsOf(NEW_FLOWS) + failedFlows,
    failedFlows,
  }
}

function packetsIn(reason: Facts[string] | undefined): number {
  if (typeof reason !== 'object' || reason === null || !('packets' in reason)) return 0
  return typeof reason.packets === 'number' ? reason.packets : 0
}

const NAMES_SHOWN = 5
const listNames = (names: readonly string[]): string =>
  names.slice(0, NAMES_SHOWN).join(', ') +
  (names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '')

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
