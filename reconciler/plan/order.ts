import type { Edit } from '../../schemas/edit.ts'
import type { DriverName, Rows } from '../../schemas/node-state.ts'
import type { NodeEdits } from './diff.ts'

/**
 * What must hold before the next phase may begin.
 * - `readBack`: the rows just written are observed as written.
 * - `notExported`: the prefixes just withdrawn are in no peer's export table any more.
 * - `drainedOrDeadline`: the services about to go have no live flows, or their deadline has passed.
 */
export type Condition = 'readBack' | 'notExported' | 'drainedOrDeadline'

/** One driver's edits that may be applied as one batch, and what must then hold. */
export type Phase = {
  [D in DriverName]: {
    readonly name: PhaseName
    readonly driver: D
    readonly edits: readonly Edit<Rows[D]>[]
    readonly until: Condition
  }
}[DriverName]

/**
 * Make before break (rule 2): what carries traffic is made and read back, then announced; what goes is
 * withdrawn first, then drained, then removed.
 */
export type PhaseName = 'prepare' | 'announce' | 'withdraw' | 'remove'

/**
 * Phases in order; empty ones are left out. A service that moves from one dataplane to the other is
 * a creation in `prepare` and a deletion in `remove`: the new one stands before the old one goes.
 */
export function orderEdits(edits: NodeEdits): Phase[] {
  const phases: Phase[] = [
    { name: 'prepare', driver: 'xdp', edits: edits.xdp.filter(isMaking), until: 'readBack' },
    { name: 'prepare', driver: 'ipvs', edits: edits.ipvs.filter(isMaking), until: 'readBack' },
    { name: 'announce', driver: 'bgp', edits: edits.bgp.filter(isMaking), until: 'readBack' },
    { name: 'withdraw', driver: 'bgp', edits: edits.bgp.filter(isRemoving), until: 'notExported' },
    { name: 'remove', driver: 'xdp', edits: edits.xdp.filter(isRemoving), until: 'readBack' },
    { name: 'remove', driver: 'ipvs', edits: edits.ipvs.filter(isRemoving), until: 'readBack' },
  ]
  return phases.filter(phase => phase.edits.length > 0)
}

const isRemoving = (edit: Edit<unknown>): boolean => edit.op === 'delete'
const isMaking = (edit: Edit<unknown>): boolean => edit.op !== 'delete'
