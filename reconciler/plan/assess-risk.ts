import { isDeepStrictEqual } from 'node:util'
import type { IpvsServiceRow } from '../../schemas/node-state.ts'
import type { Impact, LiveImpact, NodePlan, Risk, ServicePlan, Severity } from '../../schemas/plan.ts'
import type { ServiceView } from './service-view.ts'

/** A backend share that goes away at once and is worth a second look. */
const LARGE_SHARE = 1 / 3
/** Live flows that lose their backend, as a share. */
const CUT_SHARE = 0.05
/** Packets/s of a backend against the most that it had. */
const OVERLOAD = 1.2
/** One backend with this many times the mean share of those in service. */
const SKEW = 5
/** Slots for each backend that keep shares within 1% (Maglev, 5.3). */
const SLOTS_FOR_EACH = 100

/** A change of one service, with what it does. */
export interface Assessed {
  readonly change: ServicePlan['change']
  readonly before: ServiceView | null
  readonly after: ServiceView | null
  /** The key of the flow hash changes. */
  readonly isRehashed: boolean
  readonly impact: Impact
  readonly live: LiveImpact | null
  /** Nodes that serve it afterwards, of all. */
  readonly servedAfter: number
  /** Somebody announced a route to the VIP, and nobody does any more. */
  readonly lastAnnouncer: boolean
}

interface RiskRule {
  readonly severity: Severity
  readonly explanation: string
  applies(change: Assessed): boolean
}

/** In the order of weight. */
const RULES: Readonly<Record<Risk, RiskRule>> = {
  'last-announcer': {
    severity: 'high',
    explanation:
      'the last node that announces a route to the VIP withdraws it: no packet finds the way any more',
    applies: ({ lastAnnouncer }) => lastAnnouncer,
  },
  'all-backends-drained': {
    severity: 'high',
    explanation: 'no backend gets new flows: every new connection to this VIP is dropped',
    applies: ({ change, impact }) => change !== 'delete' && inService(impact, 'share_after').length === 0,
  },
  'service-removed': {
    severity: 'high',
    explanation: 'the VIP and port stop being served; live connections end',
    applies: ({ change, servedAfter }) => change === 'delete' && servedAfter === 0,
  },
  'backend-share-removed': {
    severity: 'medium',
    explanation: 'a third or more of the traffic loses its backend in one step',
    applies: ({ change, impact }) => change === 'update' && shareRemoved(impact) >= LARGE_SHARE,
  },
  'flows-cut': {
    severity: 'medium',
    explanation: 'one in twenty or more of the live flows loses its backend: their connections end',
    applies: ({ live }) => (live?.flows_lost ?? 0) >= CUT_SHARE,
  },
  'load-above-peak': {
    severity: 'medium',
    explanation: 'a backend that stays would get more than 120% of the most that it had lately',
    applies: ({ live }) => live?.load.some(({ at_peak }) => (at_peak ?? 0) > OVERLOAD) ?? false,
  },
  'hash-changed': {
    severity: 'medium',
    explanation: 'what chooses the slot of a flow changes: nearly every new flow may go to another backend',
    applies: ({ before, after, isRehashed }) =>
      isRehashed || (before !== null && after !== null && isHashedOtherwise(before, after)),
  },
  'forwarding-changed': {
    severity: 'medium',
    explanation: 'packets reach the backends in another way, which they must be ready for',
    applies: ({ before, after }) => before !== null && after !== null && isSentOtherwise(before, after),
  },
  'nodes-removed': {
    severity: 'medium',
    explanation: 'fewer nodes serve it: the flows of those that leave go to the others, if routes do',
    applies: ({ change, servedAfter }) => change === 'delete' && servedAfter > 0,
  },
  'weights-skewed': {
    severity: 'low',
    explanation: 'one backend gets more than five times the mean share',
    applies: ({ change, impact }) => change !== 'delete' && isSkewed(impact),
  },
  'ring-too-small': {
    severity: 'low',
    explanation:
      'so many backends, or so uneven weights, that the slots of the ring are too few for exact shares',
    applies: ({ change, after }) => change !== 'delete' && after !== null && isCrowded(after),
  },
  'ports-opened': {
    severity: 'low',
    explanation: 'a VIP and port that was not served there before',
    applies: ({ change }) => change === 'create',
  },
}

const IDS = Object.keys(RULES) as Risk[]

/** Weightiest first. */
export const assessRisk = (change: Assessed): Risk[] =>
  change.change === 'unchanged' ? [] : IDS.filter(id => RULES[id].applies(change))

/** Of rows that are no services: what holds for all services of a node. */
export function assessNodeRisk({
  key,
  change,
  details,
}: Pick<NodePlan, 'key' | 'change' | 'details'>): Risk[] {
  if (key === 'settings' && details.some(detail => /^fleet(Key)?:/.test(detail))) return ['hash-changed']
  if (change === 'delete' && (key === 'settings' || key.startsWith('interface/'))) return ['nodes-removed']
  return []
}

export const explainRisk = (id: Risk): string => RULES[id].explanation
export const severityOf = (id: Risk): Severity => RULES[id].severity
/** 0 is the weightiest. */
export const rankOf = (id: Risk): number => IDS.indexOf(id)

const inService = (impact: Impact, at: 'share_before' | 'share_after') =>
  impact.backends.filter(backend => backend[at] > 0)

/** The share of backends that served before and serve no longer. */
const shareRemoved = (impact: Impact): number =>
  inService(impact, 'share_before')
    .filter(backend => backend.share_after === 0)
    .reduce((sum, backend) => sum + backend.share_before, 0)

function isSkewed(impact: Impact): boolean {
  const shares = inService(impact, 'share_after').map(backend => backend.share_after)
  return shares.length > 1 && shares.reduce((a, b) => Math.max(a, b), 0) * shares.length > SKEW
}

function isHashedOtherwise(before: ServiceView, after: ServiceView): boolean {
  const choice = ({ row }: ServiceView) =>
    'match' in row ? [row.schedulerFlags, persistenceOf(row), row.onePacket] : row.hashBy
  const scheduler = ({ row }: ServiceView) => ('match' in row ? row.scheduler : 'maglev')
  return (
    scheduler(before) !== scheduler(after) ||
    (before.dataplane === after.dataplane && !isDeepStrictEqual(choice(before), choice(after)))
  )
}

/** Who is kept on a backend, and by what. For how long decides about none of the new flows. */
const persistenceOf = ({ persistence }: IpvsServiceRow) =>
  persistence === null ? null : { prefixLength: persistence.prefixLength, engine: persistence.engine }

function isSentOtherwise(before: ServiceView, after: ServiceView): boolean {
  const way = ({ row }: ServiceView) =>
    'match' in row ? row.backends[0]?.forwarding : [row.encapsulation, row.gue ?? null]
  return before.dataplane !== after.dataplane || !isDeepStrictEqual(way(before), way(after))
}

function isCrowded({ row, backends }: ServiceView): boolean {
  if ('match' in row) return false
  const weights = backends.map(({ weight }) => weight).filter(weight => weight > 0)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const { slots } = row.ring
  return weights.length * SLOTS_FOR_EACH > slots || weights.some(weight => weight * slots < total)
}
