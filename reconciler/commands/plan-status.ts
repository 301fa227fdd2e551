import type { FleetPlan } from '../../schemas/plan.ts'

/** What the status of a commit says of its plan: that a guard would refuse it goes before its risk. */
export function planStatus({ rollout, risk }: FleetPlan) {
  const refusal = rollout?.refusals[0]
  return refusal === undefined
    ? ({ state: 'success', description: risk.line } as const)
    : ({ state: 'failure', description: `Would be refused: ${refusal.message}` } as const)
}
