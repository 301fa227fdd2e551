import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { FleetPlan } from '../../schemas/plan.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { Revision } from '../../schemas/want.ts'

/** The steps from a revision to what the nodes are told. */
export type Phase = 'snapshot' | 'parse' | 'desired' | 'plan' | 'publish'

/** What happens in the reconcile loop, for whoever counts or shows it. */
export type ControllerEvent =
  /** The branch could be looked at, whether it moved or not. */
  | { readonly type: 'looked' }
  | {
      readonly type: 'push-seen'
      readonly revision: Revision
      readonly subject: string
      readonly author: string
    }
  | { readonly type: 'accepted'; readonly revision: Revision; readonly totals: FleetPlan['totals'] }
  | {
      readonly type: 'refused'
      readonly revision: Revision
      readonly diagnostics: readonly Diagnostic[]
    }
  | { readonly type: 'reported'; readonly report: NodeReport }
  /** Something was done in Git about a revision that failed. */
  | { readonly type: 'reverted'; readonly revision: Revision }
  | { readonly type: 'phase'; readonly phase: Phase; readonly seconds: number }

/** Runs a step and tells how long it took, also when it fails. */
export type TimePhase = <Result>(phase: Phase, work: () => Promise<Result>) => Promise<Result>

export const createPhaseTimer =
  (observe: (event: ControllerEvent) => void): TimePhase =>
  async (phase, work) => {
    const start = performance.now()
    try {
      return await work()
    } finally {
      observe({ type: 'phase', phase, seconds: (performance.now() - start) / 1000 })
    }
  }
