import fc from 'fast-check'
import { checkSettings } from '../../../reconciler/config/check-settings.ts'
import { Diagnostic } from '../../../schemas/diagnostic.ts'
import { SettingsFile } from '../../../schemas/settings.ts'
import { arbitraryText, craftedTexts } from '../arbitrary-text.ts'
import { fuzzOptions, printSummary } from '../run-bounded.ts'

/** Any text as the file of `--config`: settings that the schema knows, or diagnostics and no settings. */
const counts = { runs: 0, refused: 0 }

function check(text: string): void {
  const { settings, diagnostics } = checkSettings('ballast.yaml', text)
  SettingsFile.parse(settings)
  for (const diagnostic of diagnostics) Diagnostic.parse(diagnostic)
  counts.runs += 1
  if (diagnostics.length === 0) return
  counts.refused += 1
  if (Object.keys(settings).length > 0) throw new Error('settings of a file that was refused')
}

fc.assert(fc.property(arbitraryText, check), fuzzOptions(1_500))
for (const text of craftedTexts(20_000)) check(text)
printSummary(counts)
