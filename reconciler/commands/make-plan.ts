import { createEvaluator } from '../controller/evaluate.ts'
import { sideOf } from '../controller/plan-side.ts'
import type { ObservedFleet } from '../plan/compare-live.ts'
import { type MadePlan, makeFleetPlan, type PlanSide } from '../plan/plan-fleet.ts'
import type { Source } from '../repo/source.ts'
import { CommandFailure } from './outcome.ts'
import { renderDiagnostics } from './print.ts'

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
  const before: PlanSide =
    from === undefined
      ? { revision: null, nodes: observed?.nodes ?? new Map(), names: {}, manifests: null }
      : await readRevision(from)
  const after = await readRevision(head)
  return makeFleetPlan({ before, after, observed, path })
}

/** Reads one revision after the other; what they share is read once. */
function createRevisionReader({ repository }: Source, path: string) {
  const evaluate = createEvaluator(repository, path)
  return async (name: string): Promise<PlanSide> => {
    const revision = await repository.resolve(name)
    if (revision === null) throw new CommandFailure(`${name} is no revision of ${repository.dir}.`)
    const { fleet, manifests, diagnostics } = await evaluate(revision)
    if (fleet === null) {
      throw new CommandFailure(
        `${name} (${revision.slice(0, 12)}) is not valid:\n${renderDiagnostics(diagnostics)}`,
      )
    }
    return sideOf({ revision, fleet, manifests })
  }
}
