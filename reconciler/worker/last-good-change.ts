import type { LastGood, LastGoodChange } from '../../schemas/last-good.ts'
import { applyTablesChange, findTablesChange } from '../../schemas/tables-change.ts'

/** What turns one into the other; null when they are of different nodes. */
export function findChange(before: LastGood, after: LastGood): LastGoodChange | null {
  if (before.state.node !== after.state.node) return null
  const { want, appliedInBoot } = after
  return { want, appliedInBoot, tables: findTablesChange(before.state.tables, after.state.tables) }
}

export const applyChange = (
  lastGood: LastGood,
  { want, appliedInBoot, tables }: LastGoodChange,
): LastGood => ({
  ...lastGood,
  want,
  appliedInBoot,
  state: { ...lastGood.state, tables: applyTablesChange(lastGood.state.tables, tables) },
})
