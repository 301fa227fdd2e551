import type { Driver } from '../../reconciler/drivers/driver.ts'
import { digestOf } from '../../schemas/digest.ts'
import type { Edit, EditOutcome } from '../../schemas/edit.ts'
import type { NodeTables, Rows, Table } from '../../schemas/node-state.ts'

/** An xdp table in memory that can be made to misbehave, and that remembers what was asked of it. */
export interface FakeDriver extends Driver<Rows['xdp']> {
  rows: NodeTables['xdp']
  readonly batches: string[][]
  /** Called before a batch is applied; may throw, or change `rows`. */
  beforeApply: (() => void) | null
  /** Keys whose edits are accepted and then not done. */
  readonly ignores: Set<string>
  /** Keys whose edits fail. */
  readonly fails: Set<string>
  observations: number
}

export function createFakeDriver(): FakeDriver {
  const driver: FakeDriver = {
    name: 'xdp',
    rows: {},
    batches: [],
    beforeApply: null,
    ignores: new Set(),
    fails: new Set(),
    observations: 0,
    capabilities: async () => ({ available: true, reason: '' }),
    fingerprint: async () => digestOf(driver.rows),
    observe: async () => {
      driver.observations += 1
      const rows: Table<Rows['xdp']> = structuredClone(driver.rows)
      return { rows, facts: {}, digest: digestOf(rows), fingerprint: digestOf(rows) }
    },
    apply: async edits => {
      driver.batches.push(edits.map(({ op, key }) => `${op} ${key}`))
      driver.beforeApply?.()
      return edits.map(edit => applyOne(driver, edit))
    },
    close: async () => {},
  }
  return driver
}

function applyOne(driver: FakeDriver, edit: Edit<Rows['xdp']>): EditOutcome {
  const { key } = edit
  if (driver.fails.has(key)) {
    return {
      result: 'failed',
      key,
      code: 'FAKE_FAULT',
      message: 'asked to fail',
      hint: 'none',
      retryable: true,
    }
  }
  if (!driver.ignores.has(key)) {
    if (edit.op === 'delete') delete driver.rows[key]
    else driver.rows[key] = edit.after
  }
  return { result: 'applied', key }
}
