import type { Rollout, RolloutNode } from '../../schemas/rollout.ts'
import type { TrafficCounts } from '../../schemas/traffic-counts.ts'
import type { ClosedGate } from './gates.ts'
import { isReached, type Reports } from './reports.ts'
import { growthOf, sumCounts } from './traffic-counts.ts'

/** Less than this on the changed nodes says nothing about a share. */
const LEAST_PACKETS = 100
const LEAST_FLOWS = 20
/** Standard deviations: a share counts as far as chance alone would not make it in one of 700 looks. */
const CERTAINTY = 3

/** The gates that counters close. Nothing is counted of IPVS, so none of them closes for it. */
export const MEASURED_GATES = ['drops', 'resets', 'newFlowFailures'] as const

interface Measure {
  readonly gate: (typeof MEASURED_GATES)[number]
  /** What the share is of, in words. */
  readonly what: string
  readonly of: (counts: TrafficCounts) => number
  readonly among: (counts: TrafficCounts) => number
  readonly least: number
}

const MEASURES: readonly Measure[] = [
  {
    gate: 'drops',
    what: 'packets dropped',
    of: ({ dropped }) => dropped,
    among: ({ packets }) => packets,
    least: LEAST_PACKETS,
  },
  {
    gate: 'resets',
    what: 'packets of flows that lost their backend',
    of: ({ reset }) => reset,
    among: ({ packets }) => packets,
    least: LEAST_PACKETS,
  },
  {
    gate: 'newFlowFailures',
    what: 'new flows without a backend',
    of: ({ failedFlows }) => failedFlows,
    among: ({ newFlows }) => newFlows,
    least: LEAST_FLOWS,
  },
  {
    gate: 'newFlowFailures',
    what: 'new connections that nobody answers',
    // Connections that were on their way at the beginning are answered in addition.
    of: ({ opened, answered }) => Math.max(0, opened - answered),
    among: ({ opened }) => opened,
    least: LEAST_FLOWS,
  },
]

/** Shares on changed nodes against the same time on unchanged ones; where there are none, against their own past. */
export function judgeTraffic(
  rollout: Rollout,
  changed: readonly RolloutNode[],
  reports: Reports,
): ClosedGate | null {
  const since = sumGrowth(changed, reports)
  const others = sumGrowth(
    rollout.nodes.filter(({ side }) => side === 'base'),
    reports,
  )
  const past = sumCounts(changed.flatMap(({ counted }) => counted ?? []))
  for (const { gate, what, of, among, least } of MEASURES) {
    const total = among(since)
    if (total < least) continue
    const against = among(others) >= least ? others : past
    const usual = among(against) === 0 ? 0 : of(against) / among(against)
    if (certainShare(of(since), total) - usual <= rollout.gates![gate]) continue
    const whose = against === others ? 'on unchanged nodes' : 'before'
    const share = percent(of(since) / total)
    const most = describeWorst(changed, reports, { of, among })
    return {
      gate,
      message: `${what}: ${share} of ${total} on changed nodes${most}, ${percent(usual)} ${whose}`,
    }
  }
  return null
}

/** Of several nodes the one with the largest certain share, however little it has of all: `, most on lb-1 (12.0 % of 300)`. */
function describeWorst(
  changed: readonly RolloutNode[],
  reports: Reports,
  { of, among }: Pick<Measure, 'of' | 'among'>,
): string {
  const counts = changed.map(node => ({ name: node.name, since: sumGrowth([node], reports) }))
  const shareOn = (counted: TrafficCounts) =>
    among(counted) === 0 ? 0 : certainShare(of(counted), among(counted))
  const [worst] = counts.toSorted((a, b) => shareOn(b.since) - shareOn(a.since))
  if (counts.length < 2 || worst === undefined) return ''
  const total = among(worst.since)
  return `, most on ${worst.name} (${percent(of(worst.since) / total)} of ${total})`
}

/** What was counted since the baselines. Of a node whose counters began again nothing is known. */
const sumGrowth = (nodes: readonly RolloutNode[], reports: Reports): TrafficCounts =>
  sumCounts(
    nodes.flatMap(({ name, counted, changingSince }) => {
      const view = reports.nodes.get(name)
      const now = view?.report?.traffic ?? null
      if (counted === null || now === null || (changingSince !== null && !isReached(view))) return []
      return growthOf(counted, now) ?? []
    }),
  )

/** The least that the share behind a count may well be: the lower bound of Wilson's interval. */
function certainShare(count: number, total: number): number {
  const share = Math.min(1, count / total)
  const square = CERTAINTY ** 2 / total
  const spread = CERTAINTY * Math.sqrt((share * (1 - share) + square / 4) / total)
  return Math.max(0, (share + square / 2 - spread) / (1 + square))
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
