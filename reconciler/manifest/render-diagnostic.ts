import { styleText } from 'node:util'
import type { Diagnostic } from '../../schemas/diagnostic.ts'

/** `web.yaml:7:9 error vip-unique: what is wrong. How to mend it.`, on one line. */
export function renderDiagnostic(diagnostic: Diagnostic, options: { readonly color?: boolean } = {}): string {
  const { at, severity, rule, message, hint } = diagnostic
  const paint = (style: Parameters<typeof styleText>[0], text: string) =>
    options.color === true ? styleText(style, text, { validateStream: false }) : text
  const place = paint('bold', `${at.file}:${at.line}:${at.column}`)
  const kind = paint(severity === 'error' ? 'red' : 'yellow', severity)
  return `${place} ${kind} ${rule}: ${message} ${paint('cyan', hint)}`
}

/** By file, line and column; errors before warnings. */
export function sortDiagnostics(diagnostics: Iterable<Diagnostic>): Diagnostic[] {
  return [...diagnostics].sort(
    (a, b) =>
      compareTexts(a.at.file, b.at.file) ||
      a.at.line - b.at.line ||
      a.at.column - b.at.column ||
      compareTexts(a.severity, b.severity) ||
      compareTexts(a.rule, b.rule) ||
      compareTexts(a.message, b.message),
  )
}

const compareTexts = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
