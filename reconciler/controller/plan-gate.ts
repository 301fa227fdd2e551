import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { ReviewedPlan } from '../../schemas/reviewed-plan.ts'
import type { Digest, Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { MadePlan } from '../plan/plan-fleet.ts'
import { describeMoved, nearestPlan, needsReview } from '../plan/reviewed-plan.ts'
import type { Verdict } from './judge.ts'
import { planOnThreads } from './plan-on-threads.ts'
import { sideOf } from './plan-side.ts'

interface Revised {
  readonly revision: Revision
  readonly fleet: DesiredFleet
}

type Reports = ReadonlyMap<string, NodeReport>

/** Lets a revision by when its plan, made again from what is accepted now, is one that was reviewed (rule 9). */
export interface PlanGate {
  /** The verdict as it is, or held with the reason. The policy is that of what is accepted. */
  judge(accepted: Revised | null, verdict: Verdict, reports: Reports): Promise<Verdict>
  /** The fleet of a revision that was held, when nothing is in its way any more; else null. */
  release(accepted: Revised | null, head: Revision, reports: Reports): Promise<DesiredFleet | null>
}

/** What was reviewed. */
export interface Reviews {
  read(digest: Digest): Promise<ReviewedPlan | null>
  readLatest(): Promise<ReviewedPlan[]>
}

interface Held {
  readonly accepted: Revision
  readonly offered: Revised
  readonly made: MadePlan
}

export function createPlanGate(reviews: Reviews): PlanGate {
  let held: Held | null = null

  async function isReviewed({ plan }: MadePlan): Promise<boolean> {
    return (await reviews.read(plan.digest)) !== null
  }

  async function findReason(
    accepted: Revised,
    offered: Revised,
    reports: Reports,
  ): Promise<Diagnostic | null> {
    const policy = accepted.fleet.policy.requireReviewedPlan
    if (policy === 'never') return null
    const made = await planOnThreads({ before: sideOf(accepted), after: sideOf(offered) })
    if (!needsReview(policy, made)) return null
    const moved = findDrifted(made, reports)
    const reviewed = await isReviewed(made)
    if (reviewed && moved.length === 0) return null
    held = { accepted: accepted.revision, offered, made }
    if (reviewed) return describeDrifted(moved)
    return describeUnreviewed(made, policy, nearestPlan(await reviews.readLatest(), made.parts))
  }

  return {
    async judge(accepted, verdict, reports) {
      held = null
      const { revision, fleet, diagnostics } = verdict
      if (accepted === null || fleet === null) return verdict
      const reason = await findReason(accepted, { revision, fleet }, reports)
      return reason === null ? verdict : { revision, fleet: null, diagnostics: [...diagnostics, reason] }
    },
    async release(accepted, head, reports) {
      if (held === null || held.accepted !== accepted?.revision || held.offered.revision !== head) return null
      const { made, offered } = held
      if (findDrifted(made, reports).length > 0 || !(await isReviewed(made))) return null
      held = null
      return offered.fleet
    },
  }
}

/** Rows that the plan touches and that a node holds otherwise than what was accepted says. */
function findDrifted({ parts }: MadePlan, reports: Reports): string[] {
  const touched = new Set(parts.map(({ what }) => what))
  return [...reports.values()].flatMap(({ node, drift }) =>
    drift
      .filter(({ driver, key, healedAt }) => healedAt === null && touched.has(`${driver} ${key}`))
      .map(({ key }) => `${key} on ${node}`),
  )
}

const SHOWN = 5

const describeDrifted = (moved: readonly string[]): Diagnostic => ({
  rule: 'live-state-moved',
  severity: 'error',
  message: `What the reviewed plan changes is not as it was: ${moved.slice(0, SHOWN).join(', ')}${moved.length > SHOWN ? ` and ${moved.length - SHOWN} more` : ''}.`,
  hint: 'The revision is taken when this has been put right; ballast status shows the difference.',
  at: { file: '.', line: 1, column: 1 },
})

function describeUnreviewed(made: MadePlan, policy: string, nearest: ReviewedPlan | null): Diagnostic {
  const { digest, risk, base, head } = made.plan
  const short = digest.slice(0, 16)
  const moved =
    nearest === null
      ? 'No plan that was recorded is like it.'
      : `Since the plan ${nearest.digest.slice(0, 16)}${nearest.head === null ? '' : ` of ${nearest.head.slice(0, 12)}`} was recorded this moved: ${describeMoved(nearest.parts, made.parts)}.`
  return {
    rule: 'plan-not-reviewed',
    severity: 'error',
    message: `The plan ${short} of this revision was not reviewed, and requireReviewedPlan is ${policy} (${risk.line}). ${moved}`,
    hint: `Look at it: ballast plan --from ${base?.slice(0, 12)} --to ${head?.slice(0, 12)} (--record when it is for a review). If it is right: ballast apply --plan ${short}.`,
    at: { file: '.', line: 1, column: 1 },
  }
}
