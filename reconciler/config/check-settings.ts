import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { SettingsFile } from '../../schemas/settings.ts'
import { findSchemaProblems } from '../manifest/find-schema-problems.ts'
import { findYamlProblems } from '../manifest/find-yaml-problems.ts'
import { offsetOf, offsetOfKey, readYaml } from '../manifest/read-yaml.ts'
import { sortDiagnostics } from '../manifest/render-diagnostic.ts'

/** A configuration file's settings, or everything that is wrong with it. Pure. */
export function checkSettings(
  file: string,
  text: string,
): { settings: SettingsFile; diagnostics: Diagnostic[] } {
  const { documents, spotOf } = readYaml(text)
  const place = (offset: number) => ({ file, ...spotOf(offset) })
  const document = documents[0]
  if (document === undefined) return { settings: {}, diagnostics: [] }
  const diagnostics = findYamlProblems(document).map(({ offset, rule, message, hint }) => ({
    rule,
    severity: 'error' as const,
    message,
    hint,
    at: place(offset),
  }))
  if (diagnostics.length > 0) return { settings: {}, diagnostics }
  const value: unknown = document.toJS() ?? {}
  const parsed = SettingsFile.safeParse(value)
  if (parsed.success) return { settings: parsed.data, diagnostics: [] }
  const problems = findSchemaProblems(SettingsFile, value, parsed.error.issues)
  return {
    settings: {},
    diagnostics: sortDiagnostics(
      Array.from(problems, ({ rule, message, hint, path, key }) => ({
        rule,
        severity: 'error' as const,
        message,
        hint,
        at: place(key === undefined ? offsetOf(document, path) : offsetOfKey(document, path, key)),
      })),
    ),
  }
}
