import type { NodeTables, RowKey } from '../../schemas/node-state.ts'
import type { LiveState } from '../../schemas/plan.ts'
import type { Revision } from '../../schemas/want.ts'
import { digestRow } from './digest-row.ts'
import type { Fold } from './fold-edits.ts'
import type { LiveTraffic } from './measure-live.ts'

/** The fleet as it is, as far as it was reported. */
export interface ObservedFleet {
  /** When it was read, ms since the epoch. */
  readonly at: number
  /** What the nodes that have reported hold. */
  readonly nodes: ReadonlyMap<string, NodeTables>
  readonly traffic: LiveTraffic
  /** The revision that was last accepted. */
  readonly revision: Revision | null
  /** What the last change took, from its push to the last node; null: not known. */
  readonly lastApplyMs: number | null
}

/** Whether what the plan starts from is what is there: of the rows that it touches, those that nodes hold otherwise. */
export function compareLive(
  { at, nodes }: ObservedFleet,
  fold: Fold,
  base: { readonly revision: Revision | null; readonly nodes: ReadonlyMap<string, NodeTables> },
): LiveState {
  const differs = new Map<RowKey, Set<string>>()
  if (base.revision !== null)
    for (const { driver, edit, nodes: on } of fold.edits) {
      const planned = digestRow(edit.op === 'create' ? null : edit.before)
      for (const node of on) {
        const held = nodes.get(node)
        if (held === undefined || isMet(edit.key) || digestRow(held[driver][edit.key] ?? null) === planned)
          continue
        differs.set(edit.key, (differs.get(edit.key) ?? new Set()).add(node))
      }
    }
  return {
    at,
    nodes_reporting: nodes.size,
    nodes_silent: fold.nodes.filter(node => !nodes.has(node)),
    differs: Array.from(differs, ([key, on]) => ({ key, nodes: [...on].sort() })),
  }
}

/** An interface may hold the mode that it was free to choose. */
const isMet = (key: RowKey): boolean => key.startsWith('interface/')
