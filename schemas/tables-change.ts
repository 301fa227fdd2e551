import { z } from 'zod'
import { changeTable, type TableChange } from './changed-table.ts'
import { DriverName, NodeTables, RowKey } from './node-state.ts'

const tableChange = <Driver extends DriverName>(driver: Driver) =>
  z.strictObject({ put: NodeTables.shape[driver], removed: z.array(RowKey) })

/** What makes of a node's tables other ones: rows that are new or differ, and keys of those that are gone. */
export const TablesChange = z.strictObject({
  xdp: tableChange('xdp'),
  ipvs: tableChange('ipvs'),
  bgp: tableChange('bgp'),
})
export type TablesChange = z.infer<typeof TablesChange>

/**
 * A change as it is sent (`TablesChange`, deflated, base64), small because the receiver has the rows that it replaces:
 * by their paths, a driver's name, a space and the row's key.
 */
export const PackedChange = z.strictObject({ rows: z.array(z.string()), packed: z.base64() })
export type PackedChange = z.infer<typeof PackedChange>

/** Tables that a change was applied to, and which: what is asked next is mostly what they differ in. */
const made = new WeakMap<
  NodeTables,
  { readonly before: WeakRef<NodeTables>; readonly change: TablesChange }
>()

/** Rows that are the same object are not looked into. */
export function findTablesChange(before: NodeTables, after: NodeTables): TablesChange {
  const known = made.get(after)
  if (known?.before.deref() === before) return known.change
  const changes = DriverName.options.map(driver => {
    const [was, is]: Record<string, object>[] = [before[driver], after[driver]]
    const put: Record<string, object> = {}
    const removed: string[] = []
    if (was !== is) {
      for (const key of Object.keys(is!)) if (was![key] !== is![key]) put[key] = is![key]!
      for (const key of Object.keys(was!)) if (!Object.hasOwn(is!, key)) removed.push(key)
    }
    return [driver, { put, removed }]
  })
  return Object.fromEntries(changes) as TablesChange
}

/** Tables that nothing changes in stay the same objects; the others cost what changes in them. */
export function applyTablesChange(tables: NodeTables, change: TablesChange): NodeTables {
  const changed = DriverName.options.map(driver => [
    driver,
    changeTable<unknown>(tables[driver], change[driver] as TableChange<unknown>),
  ])
  const after = Object.fromEntries(changed) as NodeTables
  made.set(after, { before: new WeakRef(tables), change })
  return after
}
