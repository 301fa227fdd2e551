import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runBounded } from './run-bounded.ts'

const targets: [target: string, about: string][] = [
  ['yaml', 'any text as a manifest is read or refused with diagnostics'],
  ['plain-yaml', 'any text is read by the quick reader as by the YAML parser, or left to it'],
  ['settings', 'any text as a settings file is read or refused with diagnostics'],
  ['last-good', 'any bytes as the last good file are read or refused by LAST_GOOD_UNREADABLE'],
  ['git-trees', 'any tree that Git stores is read or refused with diagnostics'],
]
for (const [target, about] of targets) {
  test(`${about}, within 1 GiB`, { timeout: 110_000 }, async t => {
    const { runs, refused, peakMiB } = await runBounded(target)
    t.diagnostic(`${runs} inputs, ${refused} refused, ${Math.round(peakMiB)} MiB`)
    assert.ok(refused > 0)
  })
}
