import type { LastGood, LastGoodChange } from '../../schemas/last-good.ts'
import { DriverName, type NodeTables } from '../../schemas/node-state.ts'

/** What turns one into the other; null when they are of different nodes. Rows that are the same object are not looked into. */
export function findChange(before: LastGood, after: LastGood): LastGoodChange | null {
  if (before.state.node !== after.state.node) return null
  const changes = DriverName.options.map(driver => {
    const [was, is]: Record<string, object>[] = [before.state.tables[driver], after.state.tables[driver]]
    const put = was === is ? [] : Object.keys(is!).filter(key => was![key] !== is![key])
    const removed = was === is ? [] : Object.keys(was!).filter(key => is![key] === undefined)
    return [driver, { put: Object.fromEntries(put.map(key => [key, is![key]])), removed }] as const
  })
  const { want, appliedInBoot } = after
  return { want, appliedInBoot, tables: Object.fromEntries(changes) as LastGoodChange['tables'] }
}

export function applyChange(lastGood: LastGood, { want, appliedInBoot, tables }: LastGoodChange): LastGood {
  const changed = DriverName.options.map(driver => {
    const { put, removed } = tables[driver]
    const table: Record<string, unknown> = { ...lastGood.state.tables[driver], ...put }
    for (const key of removed) delete table[key]
    return [driver, table]
  })
  const state = { ...lastGood.state, tables: Object.fromEntries(changed) as NodeTables }
  return { ...lastGood, want, appliedInBoot, state }
}
