import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { Broken, Manifest, ManifestFile, ManifestTree, ValuePath } from './manifest.ts'
import type { ManifestCache } from './manifest-cache.ts'
import { type ParsedText, parseText } from './parse-text.ts'
import { locateInPlainYaml } from './read-plain-yaml.ts'
import { offsetOf, readYaml, type Spot } from './read-yaml.ts'
import { sortDiagnostics } from './render-diagnostic.ts'

/** Reads every manifest in the files. Pure but for the cache; what is wrong comes back as diagnostics. */
export function parseManifests(
  files: Iterable<ManifestFile>,
  options: { readonly cache?: ManifestCache } = {},
): ManifestTree {
  const { cache } = options
  cache?.beginTree()
  const manifests: Manifest[] = []
  const diagnostics: Diagnostic[] = []
  const broken: Broken[] = []
  let ignored = 0
  let faulty = 0
  let incomplete = false
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1))
  // Sorted, so that whatever comes of a tree does not depend on the order in which it was read.
  for (const [index, file] of sorted.entries()) {
    if (faulty > MAX_FAULTY) {
      diagnostics.push(notLookedAt(file.path, sorted.length - index))
      incomplete = true
      break
    }
    const parsed = parseWithCache(file, cache)
    for (const manifest of placeManifests(file, parsed)) manifests.push(manifest)
    for (const { line, column, ...problem } of parsed.problems)
      diagnostics.push({ ...problem, at: { file: file.path, line, column } })
    if (parsed.problems.length > 0) faulty += file.text.length
    broken.push(...parsed.broken)
    ignored += parsed.ignored
  }
  return { manifests, diagnostics: sortDiagnostics(diagnostics), ignored, broken, incomplete }
}

/**
 * Fills the cache with what `parseManifests` of the same files will ask for, file by file: a first revision of ten thousand takes
 * longer than others should wait.
 */
export function* parseAhead(files: Iterable<ManifestFile>, cache: ManifestCache): Generator<void, void> {
  const unknown = [...files].filter(({ id }) => id !== undefined && !cache.has(id))
  let faulty = 0
  for (const file of unknown.sort((a, b) => (a.path < b.path ? -1 : 1))) {
    if (faulty > MAX_FAULTY) return
    if (parseWithCache(file, cache).problems.length > 0) faulty += file.text.length
    yield
  }
}

/** By what a file was parsed to: what did not change since an earlier revision is the very same manifest, place and all. */
const placed = new WeakMap<ParsedText, { readonly path: string; readonly manifests: readonly Manifest[] }>()

function placeManifests({ path: file, text }: ManifestFile, parsed: ParsedText): readonly Manifest[] {
  const known = placed.get(parsed)
  if (known?.path === file) return known.manifests
  const locate = createLocator(text)
  const manifests = parsed.resources.map(
    ({ resource, document, line, column }): Manifest => ({
      ...resource,
      at: { file, line, column },
      locate: path => ({ file, ...locate(document, path) }),
    }),
  )
  placed.set(parsed, { path: file, manifests })
  return manifests
}

/**
 * Characters of files with something wrong in them, after which no other file is read: faults take a thousand times as long to
 * place as sound text takes to read, and whoever pushes a thousand broken files must not keep everybody else waiting.
 */
const MAX_FAULTY = 1 << 20

const notLookedAt = (file: string, count: number): Diagnostic => ({
  rule: 'too-many',
  severity: 'error',
  message: `So much is wrong in the files before this one that ${count === 1 ? 'it was' : `it and ${count - 1} more were`} not looked at.`,
  hint: 'Mend those first.',
  at: { file, line: 1, column: 1 },
})

function parseWithCache(file: ManifestFile, cache: ManifestCache | undefined): ParsedText {
  if (cache === undefined || file.id === undefined) return parseText(file.text)
  const known = cache.get(file.id)
  if (known !== undefined) return known
  const parsed = parseText(file.text)
  cache.set(file.id, parsed)
  return parsed
}

type Locator = (document: number, path: ValuePath) => Spot

/**
 * Finds values in a text. Its documents take fifty times the room of the text, so they are made when
 * first asked for, and not kept from being collected.
 */
function createLocator(text: string): Locator {
  let kept: WeakRef<Locator> | undefined
  return (document, path) => {
    const locate = kept?.deref() ?? readPlaces(text)
    kept = new WeakRef(locate)
    return locate(document, path)
  }
}

function readPlaces(text: string): Locator {
  const plain = locateInPlainYaml(text)
  if (plain !== null) return (_only, path) => plain(path)
  const { documents, spotOf } = readYaml(text)
  return (index, path) => {
    const document = documents[index]
    return document === undefined ? { line: 1, column: 1 } : spotOf(offsetOf(document, path))
  }
}
