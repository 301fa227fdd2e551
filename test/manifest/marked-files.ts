import { checkRules } from '../../reconciler/manifest/check-rules.ts'
import type { ManifestFile } from '../../reconciler/manifest/manifest.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { renderDiagnostic, sortDiagnostics } from '../../reconciler/manifest/render-diagnostic.ts'

/** Stands in a text in front of what a diagnostic is expected to point at. */
const MARK = '¦'

/** Texts by path, with marks; `at` lists the marks as `path:line:column`, sorted as diagnostics are. */
export function readMarks(texts: Readonly<Record<string, string>>): { files: ManifestFile[]; at: string[] } {
  const at: string[] = []
  const files = Object.entries(texts).map(([path, marked]) => {
    for (const [line, content] of marked.split('\n').entries())
      for (const [before, part] of content.split(MARK).slice(0, -1).entries()) {
        const column = content.split(MARK).slice(0, before).join('').length + part.length + 1
        at.push(`${path}:${line + 1}:${column}`)
      }
    return { path, text: marked.replaceAll(MARK, '') }
  })
  return { files, at: at.sort(byPlace) }
}

/** Everything wrong with the files, as people see it. */
export function diagnose(files: readonly ManifestFile[]): string[] {
  const tree = parseManifests(files)
  return sortDiagnostics([...tree.diagnostics, ...checkRules(tree)]).map(each => renderDiagnostic(each))
}

/** `path:line:column rule` of each line that `diagnose` gives. */
export const placesAndRules = (lines: readonly string[]) =>
  lines.map(line => /^(\S+:\d+:\d+) \w+ ([\w-]+):/.exec(line)!.slice(1).join(' '))

function byPlace(a: string, b: string): number {
  const [fileA = '', lineA, columnA] = a.split(':')
  const [fileB = '', lineB, columnB] = b.split(':')
  return (
    (fileA < fileB ? -1 : fileA > fileB ? 1 : 0) ||
    Number(lineA) - Number(lineB) ||
    Number(columnA) - Number(columnB)
  )
}
