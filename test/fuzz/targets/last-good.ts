import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { readLastGood } from '../../../reconciler/worker/last-good-file.ts'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { LastGood } from '../../../schemas/last-good.ts'
import { arbitraryOf } from '../../schemas/arbitrary-of.ts'
import { fuzzOptions, printSummary } from '../run-bounded.ts'

/** Any bytes as the worker's own memory: read as it was written, or refused by its code. */
const dir = mkdtempSync(join(tmpdir(), 'ballast-fuzz-'))
const file = join(dir, 'last-good.json')
const counts = { runs: 0, refused: 0 }

async function check(bytes: Uint8Array | string): Promise<void> {
  writeFileSync(file, bytes)
  counts.runs += 1
  try {
    assert.notEqual(await readLastGood(file), null)
  } catch (error) {
    assert.ok(error instanceof BallastError)
    assert.equal(error.code, 'LAST_GOOD_UNREADABLE')
    counts.refused += 1
  }
}

const whole = arbitraryOf(LastGood).map(value => JSON.stringify(value))
/** Cut off, as by a crash, or with bytes of something else in it. */
const damaged = fc
  .tuple(whole, fc.nat(), fc.string({ unit: 'binary', maxLength: 6 }), fc.boolean())
  .map(([text, at, other, cut]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + other + (cut ? '' : text.slice(place))
  })

try {
  await fc.assert(
    fc.asyncProperty(fc.oneof(damaged, fc.json(), fc.uint8Array({ maxLength: 400 })), check),
    fuzzOptions(1_000),
  )
  for (const text of ['', 'null', '[]', '{}', '['.repeat(5_000_000), `{"a":"${'x'.repeat(50_000_000)}"}`])
    await check(text)
  // A directory in its place.
  rmSync(file)
  await assert.rejects(readLastGood(dir), { code: 'LAST_GOOD_UNREADABLE' })
} finally {
  rmSync(dir, { recursive: true })
}
printSummary(counts)
