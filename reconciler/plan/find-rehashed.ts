import type { Fold } from './fold-edits.ts'

/** Nodes on which the key of the flow hash changes: every service of XDP there chooses the slot of a new flow anew. */
export function findRehashed({ edits }: Fold): ReadonlySet<string> {
  const found = new Set<string>()
  for (const { driver, edit, nodes } of edits)
    if (driver === 'xdp' && edit.op === 'update' && keyOf(edit.before) !== keyOf(edit.after))
      for (const node of nodes) found.add(node)
  return found
}

const keyOf = (row: object): unknown => ('fleetKey' in row ? row.fleetKey : undefined)
