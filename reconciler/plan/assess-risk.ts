import type { Impact, Risk, ServicePlan } from '../../schemas/plan.ts'

/** A backend share that goes away at once and is worth a second look. */
const LARGE_SHARE = 1 / 3
/** One backend with this many times the mean share of those in service. */
const SKEW = 5

type Assessed = Pick<ServicePlan, 'change'> & { readonly impact: Impact }

interface RiskRule {
  readonly id: Risk
  readonly explanation: string
  applies(plan: Assessed): boolean
}

/** In the order of weight: the first that applies is the headline. */
const rules: readonly RiskRule[] = [
  {
    id: 'all-backends-drained',
    explanation: 'no backend gets new flows: every new connection to this VIP is dropped',
    applies: ({ change, impact }) => change !== 'delete' && inService(impact, 'share_after').length === 0,
  },
  {
    id: 'service-removed',
    explanation: 'the VIP and port stop being served; live connections end',
    applies: ({ change }) => change === 'delete',
  },
  {
    id: 'backend-share-removed',
    explanation: 'a third or more of the traffic loses its backend in one step',
    applies: ({ change, impact }) => change === 'update' && shareRemoved(impact) >= LARGE_SHARE,
  },
  {
    id: 'weights-skewed',
    explanation: 'one backend gets more than five times the mean share',
    applies: ({ change, impact }) => change !== 'delete' && isSkewed(impact),
  },
  {
    id: 'ports-opened',
    explanation: 'a VIP and port that was not served before',
    applies: ({ change }) => change === 'create',
  },
]

export const assessRisk = (plan: Assessed): Risk[] =>
  plan.change === 'unchanged' ? [] : rules.filter(rule => rule.applies(plan)).map(rule => rule.id)

export const explainRisk = (id: Risk): string => rules.find(rule => rule.id === id)!.explanation

const inService = (impact: Impact, at: 'share_before' | 'share_after') =>
  impact.backends.filter(backend => backend[at] > 0)

/** The share of backends that served before and serve no longer. */
const shareRemoved = (impact: Impact): number =>
  inService(impact, 'share_before')
    .filter(backend => backend.share_after === 0)
    .reduce((sum, backend) => sum + backend.share_before, 0)

function isSkewed(impact: Impact): boolean {
  const shares = inService(impact, 'share_after').map(backend => backend.share_after)
  return shares.length > 1 && Math.max(...shares) * shares.length > SKEW
}
