import type { FleetPlan } from '../../schemas/plan.ts'
import type { RolloutPreview } from '../../schemas/rollout.ts'
import { FREEZE_OVERRIDE } from '../controller/drive-rollout.ts'
import { createEvaluator } from '../controller/evaluate.ts'
import { describeRewind, findShrunken } from '../controller/guards.ts'
import { planOnThreads } from '../controller/plan-on-threads.ts'
import { sideOf } from '../controller/plan-side.ts'
import type { ObservedFleet } from '../plan/compare-live.ts'
import type { MadePlan, PlanSide } from '../plan/plan-fleet.ts'
import { needsReview } from '../plan/reviewed-plan.ts'
import type { Source } from '../repo/source.ts'
import { findGuarded } from '../rollout/find-guarded.ts'
import { previewRollout } from '../rollout/preview-rollout.ts'
import type { Candidate } from '../rollout/start-rollout.ts'
import { CommandFailure } from './outcome.ts'
import { invalidLine, renderDiagnostics } from './print.ts'

export interface PlanRequest {
  readonly source: Source
  /** The folder of the repository that holds the manifests. */
  readonly path: string
  /** Undefined: the live fleet. */
  readonly from: string | undefined
  /** Undefined: the head of the branch that is followed. */
  readonly to: string | undefined
  /** Asked when the live fleet is what is compared with, or when it was asked for; undefined: nothing is known of it. */
  readonly readObserved: (() => Promise<ObservedFleet>) | undefined
}

/** Throws `CommandFailure` for a revision that is none, or is not valid. */
export async function makePlan({ source, path, from, to, readObserved }: PlanRequest): Promise<MadePlan> {
  const head = to ?? (await source.branch())
  if (head === null) throw new CommandFailure(`${source.address} names no branch; say which with --branch.`)
  const readRevision = createRevisionReader(source, path)
  const observed = (await readObserved?.()) ?? null
  const before: PlanSide & { readonly candidate: Candidate | null } =
    from === undefined
      ? { revision: null, nodes: observed?.nodes ?? new Map(), names: {}, manifests: null, candidate: null }
      : await readRevision(from)
  const after = await readRevision(head)
  const made = await planOnThreads({ before, after, observed, path })
  const accepted = from ?? (await source.repository.accepted())
  const base = before.candidate ?? (accepted === null ? null : (await readRevision(accepted)).candidate)
  if (base === null) return made
  const rollout = await preview({ source, base, target: after.candidate, plan: made.plan, observed })
  const isAskedFor = needsReview(base.fleet.policy.requireReviewedPlan, made)
  return {
    ...made,
    plan: { ...made.plan, rollout: isAskedFor ? { ...rollout, needs_review: true } : rollout },
  }
}

interface Previewed {
  readonly source: Source
  readonly base: Candidate
  readonly target: Candidate
  readonly plan: FleetPlan
  readonly observed: ObservedFleet | null
}

/** What the reconciler would make of it: by the guards, waves and windows of what is accepted. */
async function preview({
  source: { repository },
  base,
  target,
  plan,
  observed,
}: Previewed): Promise<RolloutPreview> {
  const head = target.revision
  const isAhead = await repository.isAncestor(base.revision, head)
  const overrides = await repository.trailers({ key: FREEZE_OVERRIDE, base: base.revision, head })
  const now = Date.now()
  // Of the nodes that the reconciler asks.
  const counters = observed?.traffic.counters
    .values()
    .filter(({ node }) => base.fleet.nodes.has(node))
    .toArray()
  const refusals = [
    ...(isAhead ? [] : [describeRewind(head, base.revision)]),
    ...findShrunken(head, base.fleet, target.fleet),
    ...findGuarded({ before: base.fleet, after: target.fleet, counters: counters ?? [], now }),
  ]
  return previewRollout({ base, target, plan, refusals, freezeOverride: overrides[0] ?? null, now })
}

/** Reads one revision after the other; what they share is read once. */
function createRevisionReader({ repository }: Source, path: string) {
  const evaluate = createEvaluator(repository, path)
  return async (name: string): Promise<PlanSide & { readonly candidate: Candidate }> => {
    const revision = await repository.resolve(name)
    if (revision === null) throw new CommandFailure(`${name} is no revision of ${repository.dir}.`)
    const { fleet, manifests, diagnostics } = await evaluate(revision)
    if (fleet === null) {
      const which = name === revision ? name : `${name} (${revision.slice(0, 12)})`
      throw new CommandFailure(`${invalidLine(which)}\n${renderDiagnostics(diagnostics)}`)
    }
    return { ...sideOf({ revision, fleet, manifests }), candidate: { revision, fleet } }
  }
}
