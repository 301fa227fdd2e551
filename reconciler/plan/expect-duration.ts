import type { Duration } from '../../schemas/plan.ts'
import type { FoldedEdit } from './fold-edits.ts'

/** A push with one edit, and each edit more of one node, ms: what `npm run bench` finds on small virtual machines (docs/speed.md). */
const FIRST_MS = 400
const EDIT_MS = 1

/** `measuredMs`: what the last change took, from the push to the last node; null: not known. */
export function expectDuration(edits: readonly FoldedEdit[], measuredMs: number | null): Duration {
  const waits: string[] = []
  const withdrawn = edits.some(
    ({ driver, edit }) => driver === 'bgp' && edit.op === 'delete' && edit.key.startsWith('route/'),
  )
  const removed = edits.some(
    ({ driver, edit }) => driver !== 'bgp' && edit.op === 'delete' && edit.key.startsWith('service/'),
  )
  if (withdrawn) waits.push('routes that are withdrawn, until no peer has them')
  if (removed) waits.push('services that go, until their flows have ended or the drain is over')
  if (edits.length === 0) return { expected: 0, basis: 'modelled', waits }
  if (measuredMs !== null) return { expected: Math.round(measuredMs), basis: 'measured', waits }
  const perNode = new Map<string, number>()
  const lists = Map.groupBy(edits, ({ nodes }) => nodes)
  for (const [nodes, some] of lists)
    for (const node of nodes) perNode.set(node, (perNode.get(node) ?? 0) + some.length)
  const most = [...perNode.values()].reduce((a, b) => Math.max(a, b), 0)
  return { expected: FIRST_MS + EDIT_MS * (most - 1), basis: 'modelled', waits }
}
