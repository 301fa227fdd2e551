import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { openLastGoodFile, readLastGood } from '../../reconciler/worker/last-good-file.ts'
import { LAST_GOOD_VERSION, type LastGood } from '../../schemas/last-good.ts'
import { NODE_STATE_VERSION, type XdpRow } from '../../schemas/node-state.ts'
import { WANT_VERSION } from '../../schemas/want.ts'
import { backend, serviceRow, settingsRow, tablesOf } from '../plan/rows.ts'

async function setUp(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-last-good-'))
  t.after(() => rm(dir, { recursive: true }))
  return join(dir, 'last-good.json')
}

const lastGoodOf = (
  generation: number,
  rows: readonly XdpRow[],
  appliedInBoot: string | null = null,
): LastGood => ({
  version: LAST_GOOD_VERSION,
  want: {
    version: WANT_VERSION,
    node: 'lb-1',
    generation,
    revision: 'a'.repeat(40),
    stateDigest: 'b'.repeat(64),
    drift: 'repair',
    at: 0,
  },
  state: { version: NODE_STATE_VERSION, node: 'lb-1', tables: tablesOf(...rows) },
  appliedInBoot,
})

const rows = Array.from({ length: 200 }, (_, index) =>
  serviceRow(`203.0.113.${index}`, [backend('10.0.1.1')]),
)
const journalOf = async (file: string): Promise<string> => {
  const names = await readdir(join(file, '..'))
  return join(file, '..', names.find(name => name.endsWith('.journal')) ?? 'none')
}

test('what was written last is what is read, whatever was written before (rule 5)', async t => {
  const file = await setUp(t)
  assert.equal(await readLastGood(file), null)
  const choice = fc.record({
    some: fc.subarray(rows.slice(0, 6)),
    applied: fc.boolean(),
    restart: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(choice, { minLength: 1, maxLength: 8 }), async choices => {
      let disk = openLastGoodFile(file)
      for (const [index, { some, applied, restart }] of choices.entries()) {
        if (restart) disk = openLastGoodFile(file)
        const lastGood = lastGoodOf(index + 1, [settingsRow(), ...some], applied ? 'boot' : null)
        await disk.write(lastGood)
        assert.deepEqual(await readLastGood(file), lastGood)
      }
    }),
    { numRuns: 30 },
  )
})

test('a change of one row writes little, and a whole is written again before the journal is long', async t => {
  const file = await setUp(t)
  const disk = openLastGoodFile(file)
  await disk.write(lastGoodOf(1, rows))
  const whole = (await stat(file)).size
  const changed = rows.with(7, serviceRow('203.0.113.7', [backend('10.0.1.2')]))
  await disk.write(lastGoodOf(2, changed))
  assert.equal((await stat(file)).size, whole)
  assert.ok((await stat(await journalOf(file))).size < 1_500)
  for (let generation = 3; generation < 2_000; generation++) await disk.write(lastGoodOf(generation, changed))
  assert.ok((await stat(await journalOf(file))).size < 1 << 20)
  assert.equal((await readLastGood(file))?.want.generation, 1_999)
})

test('of a journal cut off anywhere, the changes that are whole count (rule 5)', async t => {
  const file = await setUp(t)
  const disk = openLastGoodFile(file)
  for (const generation of [1, 2, 3]) await disk.write(lastGoodOf(generation, rows.slice(0, generation)))
  const journal = await journalOf(file)
  const text = await readFile(journal, 'utf8')
  const first = text.indexOf('\n')
  for (const [length, generation] of [
    [text.length - 1, 3],
    [text.length - 2, 2],
    [first + 9, 2],
    [first, 2],
    [first - 1, 1],
    [0, 1],
  ] as const) {
    await truncate(journal, length)
    assert.equal((await readLastGood(file))?.want.generation, generation, `${length} bytes`)
  }
  await appendFile(journal, 'no journal at all\n')
  assert.deepEqual(await readLastGood(file), lastGoodOf(1, rows.slice(0, 1)))
})

test('one of another version is told, and not taken for none', async t => {
  const file = await setUp(t)
  await openLastGoodFile(file).write({ ...lastGoodOf(1, []), version: 2 as 1 })
  await assert.rejects(readLastGood(file), { code: 'LAST_GOOD_UNREADABLE' })
})
