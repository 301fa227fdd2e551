import { DriverName, emptyTables, type NodeTables, type RowKey } from '../../schemas/node-state.ts'
import { partsOf } from '../desired/share-rows.ts'

/**
 * A node's tables in two: `own` is what a node has for itself, a few rows; `shared` is what nodes have in common,
 * ten thousand rows perhaps: the very same object for nodes whose rows of that kind are the very same.
 */
export interface SplitTables {
  readonly own: NodeTables
  readonly shared: NodeTables
}

interface Known {
  readonly keys: readonly RowKey[]
  readonly rows: readonly object[]
  readonly shared: NodeTables
}

const NOTHING: SplitTables = { own: emptyTables(), shared: emptyTables() }

/** What was found once: the accepted fleet is compared again at every push. Tables are never changed. */
const splits = new WeakMap<NodeTables, SplitTables>()

/** Gives the parts of every node of one fleet; a node that is not there has empty ones. */
export function createSplitter(fleet: ReadonlyMap<string, NodeTables>): (node: string) => SplitTables {
  const known: Known[] = []
  return node => {
    const tables = fleet.get(node)
    if (tables === undefined) return NOTHING
    const found = splits.get(tables)
    if (found !== undefined) return found
    const split = splitTables(tables, known)
    splits.set(tables, split)
    return split
  }
}

const isShared = (key: RowKey): boolean =>
  key.startsWith('service/') || key.startsWith('route/') || key.startsWith('vip/')

function splitTables(tables: NodeTables, known: Known[]): SplitTables {
  const own = emptyTables()
  const keys: RowKey[] = []
  const rows: object[] = []
  const parts = partsOf(tables)
  for (const driver of DriverName.options) {
    keys.push(driver)
    rows.push(NOTHING)
    if (driver === 'xdp' && parts !== undefined) {
      // As one: which rows are shared is known since the table was made.
      keys.push('')
      rows.push(parts.shared)
      Object.assign(own.xdp, parts.own)
      continue
    }
    const table: Readonly<Record<RowKey, object>> = tables[driver]
    for (const key of Object.keys(table)) {
      const row = table[key]!
      if (isShared(key)) {
        keys.push(key)
        rows.push(row)
      } else put(own, driver, key, row)
    }
  }
  const same = known.find(each => areSame(each.rows, rows) && areSame(each.keys, keys))
  if (same !== undefined) return { own, shared: same.shared }
  const shared = emptyTables()
  let driver: DriverName = 'xdp'
  for (const [index, key] of keys.entries()) {
    if (rows[index] === NOTHING) driver = key as DriverName
    else if (rows[index] === parts?.shared) shared.xdp = parts!.shared.rows as NodeTables['xdp']
    else put(shared, driver, key, rows[index]!)
  }
  known.push({ keys, rows, shared })
  return { own, shared }
}

function put(tables: NodeTables, driver: DriverName, key: RowKey, row: object): void {
  const table: Record<RowKey, object> = tables[driver]
  table[key] = row
}

const areSame = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((each, index) => each === b[index])
