import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Driver } from '../../reconciler/drivers/driver.ts'
import { digestTable } from '../../reconciler/drivers/table-digest.ts'
import { diffNode } from '../../reconciler/plan/diff.ts'
import type { Edit, EditOutcome } from '../../schemas/edit.ts'
import { type DriverName, emptyTables, type Rows, type Table } from '../../schemas/node-state.ts'

/** What every driver must do, whatever is behind it (reconciler/drivers/driver.ts). */
export interface ContractOptions<D extends DriverName> {
  /** The same table each time, as another process would open it. */
  readonly open: () => Driver<Rows[D]>
  readonly tables: fc.Arbitrary<Table<Rows[D]>>
  readonly runs: number
  /** A key of this driver that no table has. */
  readonly absentKey: string
}

/** A driver that is given fewer runs than this is too slow to look for a smaller counterexample. */
const FEW = 10

export const never = new AbortController().signal

export const editsTo = <D extends DriverName = 'xdp'>(
  desired: Table<Rows[D]>,
  observed: Table<Rows[D]>,
  name: DriverName = 'xdp',
): readonly Edit<Rows[D]>[] =>
  diffNode({ ...emptyTables(), [name]: desired }, { ...emptyTables(), [name]: observed })[
    name
  ] as readonly Edit<Rows[D]>[]

/** Observes, applies what differs, and gives what is observed then. */
export async function converge<D extends DriverName = 'xdp'>(
  driver: Driver<Rows[D]>,
  desired: Table<Rows[D]>,
): Promise<Table<Rows[D]>> {
  const { rows } = await driver.observe()
  assertApplied(await driver.apply(editsTo<D>(desired, rows, driver.name), never))
  return (await driver.observe()).rows
}

export const assertApplied = (outcomes: readonly EditOutcome[]): void =>
  assert.deepEqual(
    outcomes.filter(outcome => outcome.result !== 'applied'),
    [],
  )

export const assertReached = <D extends DriverName = 'xdp'>(
  desired: Table<Rows[D]>,
  observed: Table<Rows[D]>,
  name: DriverName = 'xdp',
): void => assert.deepEqual(editsTo<D>(desired, observed, name), [])

export function testDriverContract<D extends DriverName>(options: ContractOptions<D>): void {
  type Rowset = Table<Rows[D]>
  const { open, tables, runs, absentKey } = options
  const { name } = open()
  const editsBetween = (desired: Rowset, observed: Rowset) => editsTo<D>(desired, observed, name)
  const reached = (desired: Rowset, observed: Rowset) => assertReached<D>(desired, observed, name)
  const reach = (driver: Driver<Rows[D]>, desired: Rowset) => converge<D>(driver, desired)
  const holds = (title: string, count: number, law: (a: Rowset, b: Rowset) => Promise<void>) =>
    test(title, async () => {
      await fc.assert(fc.asyncProperty(tables, tables, law), {
        numRuns: Math.min(count, runs),
        endOnFailure: runs < FEW,
      })
    })

  test('it is available', async () => {
    assert.deepEqual(await open().capabilities(), { available: true, reason: '' })
  })

  holds(
    'any desired table is reached from any other, and every edit answered in order',
    runs,
    async (a, b) => {
      const driver = open()
      reached(a, await reach(driver, a))
      const edits = editsBetween(b, (await driver.observe()).rows)
      const outcomes = await driver.apply(edits, never)
      assert.deepEqual(
        outcomes,
        edits.map(({ key }) => ({ result: 'applied', key })),
      )
      reached(b, (await driver.observe()).rows)
    },
  )

  holds('applying the same again changes nothing (rule 5)', Math.ceil(runs / 4), async (a, b) => {
    const driver = open()
    const before = (await driver.observe()).rows
    await reach(driver, a)
    const edits = editsBetween(b, (await driver.observe()).rows)
    assertApplied(await driver.apply(edits, never))
    const [once, fingerprint] = [await driver.observe(), await driver.fingerprint()]
    assert.equal(await driver.fingerprint(), fingerprint)
    assertApplied(await driver.apply(edits, never))
    assert.deepEqual((await driver.observe()).rows, once.rows)
    // Edits made for what was there long ago do no harm either: what they delete is gone, what they create is
    // there.
    assertApplied(await driver.apply(editsBetween(b, { ...before, ...a }), never))
    reached(b, (await driver.observe()).rows)
  })

  holds(
    'A, B and back to A is A again, and seen so by another process',
    Math.ceil(runs / 4),
    async (any, b) => {
      const a = withoutChoice(any)
      const driver = open()
      await reach(driver, a)
      const first = await driver.observe()
      await reach(driver, b)
      await reach(driver, a)
      for (const one of [driver, open()]) {
        const again = await one.observe()
        assert.equal(again.digest, first.digest)
        assert.deepEqual(again.rows, first.rows)
      }
    },
  )

  holds('the digest is that of the rows, and asking for some rows gives those', 4, async a => {
    const driver = open()
    await reach(driver, a)
    const all = await driver.observe()
    assert.equal(all.digest, digestTable(all.rows))
    const keys = Object.keys(all.rows).slice(0, 2)
    const some = await driver.observe([...keys, absentKey])
    assert.deepEqual(Object.keys(some.rows).sort(), keys.sort())
    for (const key of keys) assert.deepEqual(some.rows[key], all.rows[key])
    assert.equal(some.digest, digestTable(some.rows))
  })

  holds('a change changes the fingerprint', 4, async (a, b) => {
    const driver = open()
    const before = await reach(driver, a)
    const fingerprint = await driver.fingerprint()
    const after = await reach(driver, b)
    if (editsBetween(after, before).length > 0) assert.notEqual(await driver.fingerprint(), fingerprint)
  })

  holds('an aborted apply leaves every row old or new, and is made up for later', 8, async (a, b) => {
    const driver = open()
    const before = await reach(driver, a)
    const abort = new AbortController()
    const edits = editsBetween(b, before)
    const applying = driver.apply(edits, abort.signal)
    setTimeout(() => abort.abort(), Math.random() * 20)
    const outcomes = await applying
    assert.deepEqual(
      outcomes.map(({ key }) => key),
      edits.map(({ key }) => key),
    )
    const { rows } = await driver.observe()
    for (const { key } of edits) {
      const isOld = editsBetween(only(before, key), only(rows, key)).length === 0
      const isNew = editsBetween(only(b, key), only(rows, key)).length === 0
      assert.ok(isOld || isNew, `${key} is neither old nor new`)
    }
    reached(b, await reach(driver, b))
  })

  test('what was aborted before it began is not begun', async () => {
    const [table] = fc.sample(
      tables.filter(t => Object.keys(t).length > 2),
      1,
    )
    const driver = open()
    await reach(driver, {})
    const outcomes = await driver.apply(editsBetween(table!, {}), AbortSignal.abort())
    for (const outcome of outcomes) assert.equal(outcome.result === 'failed' && outcome.code, 'ABORTED')
    assert.deepEqual((await driver.observe()).rows, {})
  })

  test('an empty table is reached, and reached again', async () => {
    const driver = open()
    assert.deepEqual(await reach(driver, {}), {})
    assert.deepEqual(await reach(driver, {}), {})
    await driver.close()
  })
}

/** `auto` is whatever was there before. */
const withoutChoice = <D extends DriverName>(table: Table<Rows[D]>): Table<Rows[D]> =>
  Object.fromEntries(
    Object.entries<Rows[D]>(table).map(([key, row]) => [
      key,
      row.kind === 'interface' && row.attach === 'auto' ? { ...row, attach: 'native' } : row,
    ]),
  )

const only = <Row>(table: Table<Row>, key: string): Table<Row> =>
  table[key] === undefined ? {} : { [key]: table[key] }
