import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Driver } from '../../reconciler/drivers/driver.ts'
import { diffNode } from '../../reconciler/plan/diff.ts'
import { digestOf } from '../../schemas/digest.ts'
import type { Edit, EditOutcome } from '../../schemas/edit.ts'
import { emptyTables, type Table, type XdpRow } from '../../schemas/node-state.ts'

/** What every driver must do, whatever is behind it (reconciler/drivers/driver.ts). */
export interface ContractOptions {
  /** The same table each time, as another process would open it. */
  readonly open: () => Driver<XdpRow>
  readonly tables: fc.Arbitrary<Table<XdpRow>>
  readonly runs: number
}

export const never = new AbortController().signal

export const editsTo = (desired: Table<XdpRow>, observed: Table<XdpRow>): readonly Edit<XdpRow>[] =>
  diffNode({ ...emptyTables(), xdp: desired }, { ...emptyTables(), xdp: observed }).xdp

/** Observes, applies what differs, and gives what is observed then. */
export async function converge(driver: Driver<XdpRow>, desired: Table<XdpRow>): Promise<Table<XdpRow>> {
  const { rows } = await driver.observe()
  assertApplied(await driver.apply(editsTo(desired, rows), never))
  return (await driver.observe()).rows
}

export const assertApplied = (outcomes: readonly EditOutcome[]): void =>
  assert.deepEqual(
    outcomes.filter(outcome => outcome.result !== 'applied'),
    [],
  )

export const assertReached = (desired: Table<XdpRow>, observed: Table<XdpRow>): void =>
  assert.deepEqual(editsTo(desired, observed), [])

export function testDriverContract({ open, tables, runs }: ContractOptions): void {
  const holds = (title: string, count: number, law: (a: Table<XdpRow>, b: Table<XdpRow>) => Promise<void>) =>
    test(title, async () => {
      await fc.assert(fc.asyncProperty(tables, tables, law), { numRuns: count })
    })

  test('it is available', async () => {
    assert.deepEqual(await open().capabilities(), { available: true, reason: '' })
  })

  holds(
    'any desired table is reached from any other, and every edit answered in order',
    runs,
    async (a, b) => {
      const driver = open()
      assertReached(a, await converge(driver, a))
      const edits = editsTo(b, (await driver.observe()).rows)
      const outcomes = await driver.apply(edits, never)
      assert.deepEqual(
        outcomes,
        edits.map(({ key }) => ({ result: 'applied', key })),
      )
      assertReached(b, (await driver.observe()).rows)
    },
  )

  holds('applying the same again changes nothing (rule 5)', Math.ceil(runs / 4), async (a, b) => {
    const driver = open()
    const before = (await driver.observe()).rows
    await converge(driver, a)
    const edits = editsTo(b, (await driver.observe()).rows)
    assertApplied(await driver.apply(edits, never))
    const [once, fingerprint] = [await driver.observe(), await driver.fingerprint()]
    assert.equal(await driver.fingerprint(), fingerprint)
    assertApplied(await driver.apply(edits, never))
    assert.deepEqual((await driver.observe()).rows, once.rows)
    // Edits made for what was there long ago do no harm either: what they delete is gone, what they create is
    // there.
    assertApplied(await driver.apply(editsTo(b, { ...before, ...a }), never))
    assertReached(b, (await driver.observe()).rows)
  })

  holds(
    'A, B and back to A is A again, and seen so by another process',
    Math.ceil(runs / 4),
    async (any, b) => {
      const a = withoutChoice(any)
      const driver = open()
      await converge(driver, a)
      const first = await driver.observe()
      await converge(driver, b)
      await converge(driver, a)
      for (const one of [driver, open()]) {
        const again = await one.observe()
        assert.equal(again.digest, first.digest)
        assert.deepEqual(again.rows, first.rows)
      }
    },
  )

  holds('the digest is that of the rows, and asking for some rows gives those', 4, async a => {
    const driver = open()
    await converge(driver, a)
    const all = await driver.observe()
    assert.equal(all.digest, digestOf(all.rows))
    const keys = Object.keys(all.rows).slice(0, 2)
    const some = await driver.observe([...keys, 'service/192.0.2.254:9/tcp'])
    assert.deepEqual(Object.keys(some.rows).sort(), keys.sort())
    for (const key of keys) assert.deepEqual(some.rows[key], all.rows[key])
    assert.equal(some.digest, digestOf(some.rows))
  })

  holds('a change changes the fingerprint', 4, async (a, b) => {
    const driver = open()
    const before = await converge(driver, a)
    const fingerprint = await driver.fingerprint()
    const after = await converge(driver, b)
    if (editsTo(after, before).length > 0) assert.notEqual(await driver.fingerprint(), fingerprint)
  })

  holds('an aborted apply leaves every row old or new, and is made up for later', 8, async (a, b) => {
    const driver = open()
    const before = await converge(driver, a)
    const abort = new AbortController()
    const edits = editsTo(b, before)
    const applying = driver.apply(edits, abort.signal)
    setTimeout(() => abort.abort(), Math.random() * 20)
    const outcomes = await applying
    assert.deepEqual(
      outcomes.map(({ key }) => key),
      edits.map(({ key }) => key),
    )
    const { rows } = await driver.observe()
    for (const { key } of edits) {
      const isOld = editsTo(one(before, key), one(rows, key)).length === 0
      const isNew = editsTo(one(b, key), one(rows, key)).length === 0
      assert.ok(isOld || isNew, `${key} is neither old nor new`)
    }
    assertReached(b, await converge(driver, b))
  })

  test('what was aborted before it began is not begun', async () => {
    const [table] = fc.sample(
      tables.filter(t => Object.keys(t).length > 2),
      1,
    )
    const driver = open()
    await converge(driver, {})
    const outcomes = await driver.apply(editsTo(table!, {}), AbortSignal.abort())
    for (const outcome of outcomes) assert.equal(outcome.result === 'failed' && outcome.code, 'ABORTED')
    assert.deepEqual((await driver.observe()).rows, {})
  })

  test('an empty table is reached, and reached again', async () => {
    const driver = open()
    assert.deepEqual(await converge(driver, {}), {})
    assert.deepEqual(await converge(driver, {}), {})
    await driver.close()
  })
}

/** `auto` is whatever was there before. */
const withoutChoice = (table: Table<XdpRow>): Table<XdpRow> =>
  Object.fromEntries(
    Object.entries(table).map(([key, row]) => [
      key,
      row.kind === 'interface' && row.attach === 'auto' ? { ...row, attach: 'native' } : row,
    ]),
  )

const one = (table: Table<XdpRow>, key: string): Table<XdpRow> =>
  table[key] === undefined ? {} : { [key]: table[key] }
