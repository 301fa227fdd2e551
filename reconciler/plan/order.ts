import type { Edit } from '../../schemas/edit.ts'
import type { DriverName, Rows } from '../../schemas/node-state.ts'
import type { NodeEdits } from './diff.ts'

/** One driver's edits that may be applied as one batch. It is read back as written before the next phase begins. */
export type Phase = {
  [D in DriverName]: {
    readonly name: PhaseName
    readonly driver: D
    readonly edits: readonly Edit<Rows[D]>[]
  }
}[DriverName]

/**
 * Make before break (rule 2): what carries traffic is made and read back, then announced; what goes is
 * withdrawn first, then removed. What must wait in between is still among what is desired (`handover.ts`).
 */
export type PhaseName = 'prepare' | 'announce' | 'withdraw' | 'remove'

/**
 * Phases in order; empty ones are left out. A service that moves from one dataplane to the other is
 * a creation in `prepare` and a deletion in `remove`: the new one stands before the old one goes.
 */
export function orderEdits(edits: NodeEdits): Phase[] {
  const phases: Phase[] = [
    { name: 'prepare', driver: 'xdp', edits: edits.xdp.filter(isMaking) },
    { name: 'prepare', driver: 'ipvs', edits: edits.ipvs.filter(isMaking) },
    { name: 'announce', driver: 'bgp', edits: edits.bgp.filter(isMaking) },
    { name: 'withdraw', driver: 'bgp', edits: edits.bgp.filter(isRemoving) },
    { name: 'remove', driver: 'xdp', edits: edits.xdp.filter(isRemoving) },
    { name: 'remove', driver: 'ipvs', edits: edits.ipvs.filter(isRemoving) },
  ]
  return phases.filter(phase => phase.edits.length > 0)
}

const isRemoving = (edit: Edit<unknown>): boolean => edit.op === 'delete'
const isMaking = (edit: Edit<unknown>): boolean => edit.op !== 'delete'
