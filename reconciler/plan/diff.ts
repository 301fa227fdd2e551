import { isDeepStrictEqual } from 'node:util'
import { changedKeys, historyOf } from '../../schemas/changed-table.ts'
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
  return edits.sort(byKey)
}

const byKey = (a: { key: string }, b: { key: string }): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

export function diffNode(desired: NodeTables, observed: NodeTables): NodeEdits {
  return {
    xdp: diffOnce<Rows['xdp']>(desired.xdp, observed.xdp, matchesXdp),
    ipvs: diffOnce<Rows['ipvs']>(desired.ipvs, observed.ipvs, equalRows),
    bgp: diffOnce<Rows['bgp']>(desired.bgp, observed.bgp, equalRows),
  }
}

interface Compared {
  readonly observed: WeakRef<Table<unknown>>
  readonly edits: readonly Edit<unknown>[]
}

/** By what is desired: what it was compared with last, and what that showed. */
const compared = new WeakMap<Table<unknown>, Compared>()

function diffOnce<Row>(
  desired: Table<Row>,
  observed: Table<Row>,
  matches: (desired: Row, observed: Row) => boolean,
): readonly Edit<Row>[] {
  const edits = diffAgain(desired, observed, matches) ?? diffTable(desired, observed, matches)
  compared.set(desired, { observed: new WeakRef(observed), edits })
  return edits
}

interface Last {
  readonly edits: readonly Edit<unknown>[]
  /** The only ones whose rows may not be those of the comparison before. */
  readonly keys: ReadonlySet<string>
}

/**
 * A node compares the same two tables at several steps of its work, and then those that became of them. Null: nobody compared
 * these before.
 */
function findLast(desired: Table<unknown>, observed: Table<unknown>): Last | null {
  for (const [was, changed] of historyOf(desired)) {
    const known = compared.get(was)
    if (known === undefined) continue
    const seen = known.observed.deref()
    const others = seen === undefined ? null : changedKeys(seen, observed)
    return others === null ? null : { edits: known.edits, keys: new Set([...changed, ...others]) }
  }
  return null
}

/** Rows that are those of the comparison before are not looked at. Null: there was none. */
function diffAgain<Row>(
  desired: Table<Row>,
  observed: Table<Row>,
  matches: (desired: Row, observed: Row) => boolean,
): readonly Edit<Row>[] | null {
  const last = findLast(desired, observed)
  if (last === null) return null
  const { keys } = last
  const edits = last.edits as readonly Edit<Row>[]
  if (keys.size === 0) return edits
  const some = (table: Table<Row>): Table<Row> =>
    Object.fromEntries([...keys].flatMap(key => (table[key] === undefined ? [] : [[key, table[key]]])))
  const left = edits.filter(({ key }) => !keys.has(key))
  return [...left, ...diffTable(some(desired), some(observed), matches)].sort(byKey)
}

/**
 * The comparisons of `diffNode` that take long, one at each step: of rows that are equal it then knows that they are.
 */
export function* compareAhead(desired: NodeTables, observed: NodeTables): Generator<void, void> {
  for (const driver of DriverName.options) {
    const wanted: Table<object> = desired[driver]
    const seen: Table<object> = observed[driver]
    for (const key of findLast(wanted, seen)?.keys ?? Object.keys(wanted)) {
      const [row, other] = [wanted[key], seen[key]]
      if (row === undefined || other === undefined || row === other) continue
      equalRows(row, other)
      yield
    }
  }
}

export const isEmpty = (edits: NodeEdits): boolean =>
  DriverName.options.every(name => edits[name].length === 0)

/** Whatever the order of their fields. */
const sameRow = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b)

/** Row → the row that it was found to equal: at every look a node compares the same thousand pairs. */
const equals = new WeakMap<object, object>()

function equalRows(desired: object, observed: object): boolean {
  if (equals.get(desired) === observed) return true
  const same = sameRow(desired, observed)
  if (same) equals.set(desired, observed)
  return same
}

function matchesXdp(desired: XdpRow, observed: XdpRow): boolean {
  if (desired.kind === 'interface' && observed.kind === 'interface') {
    const attached = desired.attach === 'auto' || desired.attach === observed.attach
    const steered = desired.rps === undefined || desired.rps === (observed.rps ?? 'none')
    const taken = desired.cpus === observed.cpus
    return desired.name === observed.name && observed.program === undefined && attached && steered && taken
  }
  return equalRows(desired, observed)
}
