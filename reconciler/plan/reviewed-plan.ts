import { REVIEWED_PLAN_VERSION, type ReviewedPlan } from '../../schemas/reviewed-plan.ts'
import { severityOf } from './assess-risk.ts'
import type { PlanPart } from './plan-digest.ts'
import type { MadePlan } from './plan-fleet.ts'

/** Until when a merge may follow a review, ms. */
const KEPT_MS = 14 * 24 * 3_600_000
/** Parts named in one sentence. */
const NAMED = 5

export const keepPlan = ({ plan, parts }: MadePlan, by: ReviewedPlan['by'], now: number): ReviewedPlan => ({
  version: REVIEWED_PLAN_VERSION,
  digest: plan.digest,
  base: plan.base,
  head: plan.head,
  by,
  risk: plan.risk.line,
  parts: [...parts],
  at: now,
  expiresAt: now + KEPT_MS,
})

/** Whether a plan must have been looked at. */
export const needsReview = (policy: 'never' | 'risky' | 'always', { plan, parts }: MadePlan): boolean =>
  parts.length > 0 &&
  (policy === 'always' || (policy === 'risky' && plan.risk.rules.some(rule => severityOf(rule) !== 'low')))

/** In words: what a plan does that the reviewed one did not, and the other way round. */
export function describeMoved(reviewed: readonly PlanPart[], made: readonly PlanPart[]): string {
  const [was, is] = [byWhat(reviewed), byWhat(made)]
  const added = [...is.keys()].filter(what => !was.has(what))
  const gone = [...was.keys()].filter(what => !is.has(what))
  const other = [...is].filter(([what, digests]) => was.has(what) && was.get(what) !== digests)
  const sentences = [
    [added, 'was not in it'],
    [gone, 'is not in this one'],
    [other.map(([what]) => what), 'starts from, or leads to, something else, or is on other nodes'],
  ] as const
  return sentences
    .filter(([whats]) => whats.length > 0)
    .map(([whats, verb]) => `${nameSome(whats)}: ${verb}`)
    .join('; ')
}

/** Of several, the one that is most like it. */
export function nearestPlan(plans: readonly ReviewedPlan[], parts: readonly PlanPart[]): ReviewedPlan | null {
  const digests = new Set(parts.map(({ digest }) => digest))
  const whats = new Set(parts.map(({ what }) => what))
  const likeness = (plan: ReviewedPlan): number =>
    plan.parts.reduce((sum, part) => sum + Number(digests.has(part.digest)) + Number(whats.has(part.what)), 0)
  const ranked = plans
    .map(plan => ({ plan, score: likeness(plan) }))
    .sort((a, b) => b.score - a.score || b.plan.at - a.plan.at)
  return ranked[0] === undefined || ranked[0].score === 0 ? null : ranked[0].plan
}

/** A row may be changed in several ways on several nodes. */
function byWhat(parts: readonly PlanPart[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const { what, digest } of parts) found.set(what, `${found.get(what) ?? ''} ${digest}`)
  return found
}

const nameSome = (names: readonly string[]): string =>
  names.length <= NAMED
    ? names.join(', ')
    : `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`
