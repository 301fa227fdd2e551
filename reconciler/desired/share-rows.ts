import type { Node } from '../../schemas/manifest/node.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type { NodeTables, RowKey, Table, XdpRow } from '../../schemas/node-state.ts'
import { selectNodes } from '../manifest/select-nodes.ts'

/** What nodes that serve the same services have in common: the very same objects for all of them. */
export interface SharedServices {
  readonly keys: readonly RowKey[]
  readonly rows: Table<XdpRow>
  /** The Service that each row came from. */
  readonly names: Readonly<Record<RowKey, string>>
}

/** A table in two: the rows that a node has for itself, and those that it shares. */
interface Parts {
  readonly own: Table<XdpRow>
  readonly shared: SharedServices
}

const parts = new WeakMap<Table<XdpRow> | NodeTables, Parts>()

/** Of a node's tables, or its table of XDP, as `shareTables` made them: whoever compares nodes compares what they share once. */
export const partsOf = (tables: Table<XdpRow> | NodeTables): Parts | undefined => parts.get(tables)

/**
 * The tables with what a node shares behind its own rows of XDP: nothing may be changed in them afterwards. Ten thousand
 * rows for each of a hundred nodes take their time and room, and a plan looks at the parts: they are joined when asked for.
 */
export function shareTables(own: NodeTables, shared: SharedServices): NodeTables {
  const known: Parts = { own: own.xdp, shared }
  let joined: Record<RowKey, XdpRow> | undefined
  const tables = {
    ...own,
    get xdp() {
      if (joined !== undefined) return joined
      joined = { ...own.xdp }
      // An array of keys: going over the keys of a large object takes longer than all else.
      for (const key of shared.keys) joined[key] = shared.rows[key]!
      parts.set(joined, known)
      return joined
    },
  }
  parts.set(tables, known)
  return tables
}

type RowsOf = (service: Service) => readonly (readonly [RowKey, XdpRow])[]

/** Gives the services of a node, of which many have the same. */
export function shareServices(
  services: readonly Service[],
  nodes: readonly Node[],
  rowsOf: RowsOf,
): (node: Node) => SharedServices {
  // A service that cannot be is refused, whether a node serves it or not.
  const made = new Map(services.map(service => [service, rowsOf(service)]))
  const bySelector = Map.groupBy(services, ({ spec }) => JSON.stringify(spec.nodes))
  const selections = Array.from(bySelector.values(), some => ({
    some,
    nodes: new Set(selectNodes(some[0]!.spec.nodes, nodes)),
  }))
  const known = new Map<string, SharedServices>()
  return node => {
    const served = selections.filter(selection => selection.nodes.has(node))
    const id = served.map(selection => selections.indexOf(selection)).join()
    const shared =
      known.get(id) ??
      joinServices(
        served.flatMap(({ some }) => some),
        service => made.get(service)!,
      )
    known.set(id, shared)
    return shared
  }
}

function joinServices(services: readonly Service[], rowsOf: RowsOf): SharedServices {
  const rows: Record<RowKey, XdpRow> = {}
  const names: Record<RowKey, string> = {}
  for (const service of services)
    for (const [key, row] of rowsOf(service)) {
      rows[key] = row
      names[key] = service.metadata.name
    }
  return { keys: Object.keys(rows), rows, names }
}
