import type { Hold } from '../../schemas/hold.ts'
import type { NodeTables, RowKey } from '../../schemas/node-state.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import type { Revision, Want } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { Candidate } from './start-rollout.ts'

type DesiredNode = DesiredFleet['nodes'] extends ReadonlyMap<string, infer Node> ? Node : never

export interface AssembleInput {
  /** The last good revision; null: there is none, and then there is a rollout. */
  readonly base: Candidate | null
  /** The one of the rollout; null: there is no rollout, or it is done. */
  readonly target: Candidate | null
  readonly rollout: Rollout | null
  readonly holds: readonly Hold[]
  /** What the revisions of holds ask for. */
  readonly held: ReadonlyMap<Revision, DesiredFleet>
}

/** What is to be published: some nodes may be of other revisions than the rest. */
export interface Assembled {
  readonly nodes: ReadonlyMap<string, DesiredNode>
  /** By node, where it is not `revision`. Null: the node keeps what it wants already. */
  readonly exceptions: ReadonlyMap<string, Exception | null>
}

interface Exception {
  readonly revision: Revision
  readonly drift: Want['drift']
}

/** Joins the sides of a rollout, and what is held, into one fleet. A node that is in neither side is to be emptied. */
export function assembleFleet(input: AssembleInput): Assembled {
  const { base, target, rollout, holds, held } = input
  const nodes = new Map<string, DesiredNode>(base?.fleet.nodes)
  const exceptions = new Map<string, Exception | null>()
  const put = (name: string, side: Candidate | null): void => {
    const node = side?.fleet.nodes.get(name)
    if (node === undefined) nodes.delete(name)
    else nodes.set(name, node)
    if (side !== null && side !== base)
      exceptions.set(name, { revision: side.revision, drift: side.fleet.fleet.drift })
  }
  const keep = (name: string): void => {
    nodes.delete(name)
    exceptions.set(name, null)
  }

  for (const { name, side } of rollout?.nodes ?? []) {
    const isNew = base?.fleet.nodes.has(name) !== true
    if (side === 'target') put(name, target ?? base)
    // One that the last good revision does not know has nothing to go back to, but to be emptied of a failed one.
    else if (side === 'kept' || base === null || (isNew && rollout?.state === 'running')) keep(name)
  }
  for (const name of holdServices(nodes, holds, held)) keep(name)
  for (const { scope, revision } of holds) {
    if (scope.kind !== 'node' || revision === null) continue
    const fleet = held.get(revision)
    if (fleet?.nodes.has(scope.name) === true) put(scope.name, { revision, fleet })
    else keep(scope.name)
  }
  return { nodes, exceptions }
}

/**
 * Rows of a held service come from its revision, on the nodes that it had there. Gives the nodes that have one of which
 * the revision is not known: they must stay as they are.
 */
function holdServices(
  nodes: Map<string, DesiredNode>,
  holds: readonly Hold[],
  held: ReadonlyMap<Revision, DesiredFleet>,
): string[] {
  const unknown: string[] = []
  for (const { scope, revision } of holds) {
    if (scope.kind !== 'service' || revision === null) continue
    const from = held.get(revision)
    for (const [name, node] of nodes) {
      if (from !== undefined) nodes.set(name, withService(node, from.nodes.get(name), scope.name))
      else if (keysOf(node, scope.name).length > 0) unknown.push(name)
    }
  }
  return unknown
}

function withService(node: DesiredNode, from: DesiredNode | undefined, service: string): DesiredNode {
  const own = keysOf(node, service)
  const theirs = from === undefined ? [] : keysOf(from, service)
  if (own.length === 0 && theirs.length === 0) return node
  const tables: NodeTables = {
    xdp: { ...node.state.tables.xdp },
    ipvs: { ...node.state.tables.ipvs },
    bgp: node.state.tables.bgp,
  }
  const names = { ...node.names }
  for (const key of own) {
    delete tables.xdp[key]
    delete tables.ipvs[key]
    delete names[key]
  }
  for (const key of theirs) {
    const { xdp, ipvs } = from!.state.tables
    if (xdp[key] !== undefined) tables.xdp[key] = xdp[key]
    if (ipvs[key] !== undefined) tables.ipvs[key] = ipvs[key]
    names[key] = service
  }
  return { ...node, names, state: { ...node.state, tables } }
}

const keysOf = ({ names }: DesiredNode, service: string): RowKey[] =>
  Object.keys(names).filter(key => names[key] === service)
