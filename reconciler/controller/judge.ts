import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { VerifyRule } from '../../schemas/settings.ts'
import type { Revision } from '../../schemas/want.ts'
import type { Repository } from '../repo/repository.ts'
import { findGuarded, guardsFlows } from '../rollout/find-guarded.ts'
import type { Candidate } from '../rollout/start-rollout.ts'
import type { Evaluate, Evaluation } from './evaluate.ts'
import { describeRewind, findShrunken } from './guards.ts'

export interface JudgeOptions {
  readonly repository: Repository
  readonly evaluate: Evaluate
  readonly verify: readonly VerifyRule[]
  readonly readCounters: (nodes: readonly string[]) => Promise<readonly NodeCounters[]>
  readonly now: () => number
}

export interface JudgeRequest {
  readonly head: Revision
  readonly branch: string
  readonly accepted: Candidate | null
  /** What the repository says was accepted, though it may not be valid for this version. */
  readonly recorded: Revision | null
  /** A person took this head as it is: rewritten and shrunken. */
  readonly isAllowed: boolean
  /** A person named this revision: it need not follow what was accepted. */
  readonly isPinned: boolean
}

/** `fleet` is null when it is refused, and the diagnostics say why. */
export type Verdict = Pick<Evaluation, 'revision' | 'fleet' | 'diagnostics'>

export type Judge = (request: JudgeRequest) => Promise<Verdict>

/**
 * Whether a revision may be taken: it follows what was accepted, is signed, valid, and takes away no more than the
 * guards let it. Guards in terms of traffic hold for everyone: there is no force.
 */
export function createJudge({ repository, evaluate, verify, readCounters, now }: JudgeOptions): Judge {
  return async ({ head, branch, accepted, recorded, isAllowed, isPinned }) => {
    const refused = (diagnostics: readonly Diagnostic[]) => ({ revision: head, fleet: null, diagnostics })
    const base = accepted?.revision ?? recorded
    if (base !== null && !isAllowed && !isPinned && !(await repository.isAncestor(base, head))) {
      return refused([describeRewind(head, base)])
    }
    const unsigned = await repository.verify({ rules: verify, branch, base, head })
    if (unsigned.length > 0) return refused(unsigned)
    const evaluation = await evaluate(head)
    if (evaluation.fleet === null || accepted === null || accepted.revision === head) return evaluation
    const shrunken = isAllowed ? [] : findShrunken(head, accepted.fleet, evaluation.fleet)
    const sides = { before: accepted.fleet, after: evaluation.fleet }
    // Without live flows the ring's shares stand for them.
    const counters = guardsFlows(sides)
      ? await readCounters([...accepted.fleet.nodes.keys()]).catch(() => [])
      : []
    const guarded = findGuarded({ ...sides, counters, now: now() })
    const found = [...shrunken, ...guarded]
    return found.length === 0 ? evaluation : refused([...evaluation.diagnostics, ...found])
  }
}
