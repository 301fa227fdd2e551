import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { createLog, type Log } from '../log/log.ts'
import { renderDiagnostic } from '../manifest/render-diagnostic.ts'

/** Colours are for terminals, and never when NO_COLOR is set to anything (no-color.org). */
export const useColor = (stream: { isTTY?: boolean }): boolean =>
  stream.isTTY === true && !process.env.NO_COLOR

/** The one value that a machine-readable mode prints. */
export const printJson = (value: unknown): boolean =>
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)

export const renderDiagnostics = (diagnostics: readonly Diagnostic[]): string =>
  diagnostics.map(each => renderDiagnostic(each, { color: useColor(process.stderr) })).join('\n')

/** How a command begins to say what is wrong with the manifests of a revision; a reconciler looks for it in what `plan` writes. */
export const invalidLine = (revision: string): string => `${revision} is not valid:`

export const shortRevision = (revision: string | null | undefined): string => revision?.slice(0, 12) ?? '–'

/** `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`: how long ago, for people. */
export function renderAge(ms: number): string {
  const seconds = Math.max(ms, 0) / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}

/** For commands that answer one question: what goes wrong on the way, on stderr. */
export const createCommandLog = (): Log =>
  createLog({ level: 'error', format: 'text', destination: process.stderr })
