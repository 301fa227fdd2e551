import type { RowKey } from '../../schemas/node-state.ts'
import type { Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { PlanSide } from '../plan/plan-fleet.ts'

interface Sided {
  readonly revision: Revision
  readonly fleet: DesiredFleet
  readonly manifests?: PlanSide['manifests']
}

/** What a revision asks for, as one side of a plan. */
export function sideOf({ revision, fleet, manifests = null }: Sided): PlanSide {
  const nodes = [...fleet.nodes]
  return {
    revision,
    nodes: new Map(nodes.map(([node, { state }]) => [node, state.tables])),
    names: joinNames(nodes.map(([, { names }]) => names)),
    manifests,
  }
}

/** Most nodes have the same. */
function joinNames(all: readonly Readonly<Record<RowKey, string>>[]): Record<RowKey, string> {
  const joined: Record<RowKey, string> = {}
  for (const names of new Set(all)) for (const key in names) joined[key] = names[key]!
  return joined
}
