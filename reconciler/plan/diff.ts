import { isDeepStrictEqual } from 'node:util'
import type { Edit } from '../../schemas/edit.ts'
import { DriverName, type NodeTables, type Rows, type Table, type XdpRow } from '../../schemas/node-state.ts'

/** The edits that turn one node into another, per driver, each list sorted by key. */
export type NodeEdits = { readonly [D in DriverName]: readonly Edit<Rows[D]>[] }

/**
 * The one diff of plan, apply and drift.
 * `matches` may be looser than equality where a wish has several fulfilments (an interface's `auto`).
 */
export function diffTable<Row>(
  desired: Table<Row>,
  observed: Table<Row>,
  matches: (desired: Row, observed: Row) => boolean = sameRow,
): Edit<Row>[] {
  const edits: Edit<Row>[] = []
  for (const key of Object.keys(desired)) {
    const [after, before] = [desired[key]!, observed[key]]
    if (before === undefined) edits.push({ op: 'create', key, after })
    else if (before !== after && !matches(after, before)) edits.push({ op: 'update', key, before, after })
  }
  for (const key of Object.keys(observed)) {
    if (desired[key] === undefined) edits.push({ op: 'delete', key, before: observed[key]! })
  }
  return edits.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
}

export function diffNode(desired: NodeTables, observed: NodeTables): NodeEdits {
  return {
    xdp: diffXdp(desired.xdp, observed.xdp),
    ipvs: diffTable<Rows['ipvs']>(desired.ipvs, observed.ipvs),
    bgp: diffTable<Rows['bgp']>(desired.bgp, observed.bgp),
  }
}

type XdpEdits = readonly Edit<Rows['xdp']>[]
type XdpTable = NodeTables['xdp']

/** Of the tables compared last: a node compares the same two at several steps of its work. */
let last: { desired: WeakRef<XdpTable>; observed: WeakRef<XdpTable>; edits: XdpEdits } | null = null

function diffXdp(desired: XdpTable, observed: XdpTable): XdpEdits {
  if (last?.desired.deref() === desired && last.observed.deref() === observed) return last.edits
  const edits = diffTable(desired, observed, matchesXdp)
  last = { desired: new WeakRef(desired), observed: new WeakRef(observed), edits }
  return edits
}

export const isEmpty = (edits: NodeEdits): boolean =>
  DriverName.options.every(name => edits[name].length === 0)

/** Whatever the order of their fields. */
const sameRow = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b)

/** Row → the row that it was found to equal: at every look a node compares the same thousand pairs. */
const equals = new WeakMap<XdpRow, XdpRow>()

function equalRows(desired: XdpRow, observed: XdpRow): boolean {
  if (equals.get(desired) === observed) return true
  const same = sameRow(desired, observed)
  if (same) equals.set(desired, observed)
  return same
}

function matchesXdp(desired: XdpRow, observed: XdpRow): boolean {
  if (desired.kind === 'interface' && observed.kind === 'interface') {
    const attached = desired.attach === 'auto' || desired.attach === observed.attach
    const steered = desired.rps === undefined || desired.rps === (observed.rps ?? 'none')
    return desired.name === observed.name && observed.program === undefined && attached && steered
  }
  return equalRows(desired, observed)
}
