import assert from 'node:assert/strict'
import fc from 'fast-check'
import { checkRules } from '../../../reconciler/manifest/check-rules.ts'
import { parseManifests } from '../../../reconciler/manifest/parse-manifests.ts'
import { Diagnostic } from '../../../schemas/diagnostic.ts'
import { arbitraryText, craftedTexts } from '../arbitrary-text.ts'
import { fuzzOptions, printSummary } from '../run-bounded.ts'

/** Any text at all as a manifest: nothing throws, and what is wrong is said in diagnostics. */
const counts = { runs: 0, refused: 0 }

function check(text: string): void {
  const tree = parseManifests([{ path: 'a.yaml', text, id: `${counts.runs}` }])
  const found = [...tree.diagnostics, ...checkRules(tree)]
  for (const diagnostic of found) Diagnostic.parse(diagnostic)
  assert.ok(found.length < 5_000)
  counts.runs += 1
  if (found.some(({ severity }) => severity === 'error')) counts.refused += 1
}

fc.assert(fc.property(arbitraryText, check), fuzzOptions(1_500))
for (const text of craftedTexts(40_000)) check(text)
printSummary(counts)
