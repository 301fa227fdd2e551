import { digestOf } from '../../schemas/digest.ts'
import type { Digest } from '../../schemas/want.ts'
import { digestAfter, digestBefore, type FoldedEdit } from './fold-edits.ts'
import { orderEdits, type Phase } from './order.ts'

/** One edit on its nodes, with nothing in it that a review does not decide about. */
export interface PlanPart {
  /** `xdp service/203.0.113.10:443/tcp` */
  readonly what: string
  readonly digest: Digest
}

/**
 * The parts of a plan in the order in which they are made, and the digest of all. In them are the edits, the
 * observed rows that they replace, and the nodes; not in them: revisions, names of manifests, annotations, health, counters.
 */
export function digestEdits(edits: readonly FoldedEdit[]): { parts: PlanPart[]; digest: Digest } {
  const phases = new Map<string, number>()
  const nodes = new Map<readonly string[], Digest>()
  const digestNodes = (names: readonly string[]): Digest => {
    const known = nodes.get(names) ?? digestOf(names)
    nodes.set(names, known)
    return known
  }
  const ordered = edits
    .flatMap(folded => {
      const [before, after] = [digestBefore(folded.edit), digestAfter(folded.edit)]
      // What is put right on a node that has drifted is decided by what was accepted before.
      if (before === after) return []
      const { driver } = folded
      const { op, key } = folded.edit
      const phase = phaseOf(folded, phases)
      return [{ phase, driver, op, key, before, after, nodes: digestNodes(folded.nodes) }]
    })
    .sort(
      (a, b) =>
        a.phase - b.phase ||
        compare(a.key, b.key) ||
        compare(a.before ?? '', b.before ?? '') ||
        compare(a.after ?? '', b.after ?? ''),
    )
  const parts = ordered.map(part => ({ what: `${part.driver} ${part.key}`, digest: digestOf(part) }))
  return { parts, digest: digestOf(parts.map(({ digest }) => digest)) }
}

const PHASES: readonly Phase['name'][] = ['prepare', 'announce', 'withdraw', 'remove']
const DRIVERS = ['xdp', 'ipvs', 'bgp']

/** As `orderEdits` has it, which goes by driver and operation. */
function phaseOf({ driver, edit }: FoldedEdit, known: Map<string, number>): number {
  const id = `${driver} ${edit.op}`
  const found = known.get(id)
  if (found !== undefined) return found
  const none = { xdp: [], ipvs: [], bgp: [] }
  const [phase] = orderEdits({ ...none, [driver]: [edit] })
  const rank =
    (phase === undefined ? 0 : PHASES.indexOf(phase.name)) * DRIVERS.length + DRIVERS.indexOf(driver)
  known.set(id, rank)
  return rank
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
