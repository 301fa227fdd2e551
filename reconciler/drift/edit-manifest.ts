import { isDeepStrictEqual } from 'node:util'
import { type Document, isCollection, isSeq, parseAllDocuments, type ToStringOptions, visit } from 'yaml'
import type { ValuePath } from '../manifest/manifest.ts'

/** A change of one value of a document. `append`: to the list at `path`, which is made if need be. */
export type ValueChange = { readonly path: ValuePath } & (
  | { readonly op: 'set' | 'append'; readonly value: unknown }
  | { readonly op: 'delete' }
)

/**
 * Makes one change after the other in the document with this number (from 0); comments stay, and all lines that no change
 * is about stay as they are written. Throws what `yaml` throws where there is nothing to change at a path, through an alias
 * for instance.
 */
export const editManifest = (text: string, document: number, changes: readonly ValueChange[]): string =>
  changes.reduce(
    (edited, change) => editOnce(edited, documents => makeChange(documents[document]!, change)),
    text,
  )

/** Takes a document out; '' when none of the others is left. */
export const dropDocument = (text: string, document: number): string =>
  parseAll(text).length === 1 ? '' : editOnce(text, documents => documents.splice(document, 1))

function makeChange(document: Document, change: ValueChange): void {
  const { path } = change
  if (change.op === 'set') {
    document.setIn(path, likeSiblings(document, path, change.value))
    return
  }
  if (change.op === 'append') {
    if (document.hasIn(path)) document.addIn(path, likeSiblings(document, [...path, 0], change.value))
    else document.setIn(path, document.createNode([change.value]))
    return
  }
  document.deleteIn(path)
  const around = document.getIn(path.slice(0, -1), true)
  if (isCollection(around) && around.items.length === 0 && !isSeq(around))
    document.deleteIn(path.slice(0, -1))
}

/** In braces where what stands at the path, or the first of its list, is. */
function likeSiblings(document: Document, path: ValuePath, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const sibling = document.getIn(path, true)
  const node = document.createNode(value, { flow: isCollection(sibling) && sibling.flow === true })
  visit(node, {
    Scalar(_, scalar) {
      if (typeof scalar.value === 'string' && SEXAGESIMAL.test(scalar.value)) scalar.type = 'QUOTE_DOUBLE'
    },
  })
  return node
}

/** Text such as `64512:100`, which is a number to programs that read YAML 1.1. */
const SEXAGESIMAL = /^\d+(:\d+)+$/

const parseAll = (text: string): Document.Parsed[] => {
  const documents = parseAllDocuments(text, { version: '1.2', schema: 'core' })
  return Array.isArray(documents) ? documents : []
}

function editOnce(text: string, edit: (documents: Document.Parsed[]) => void): string {
  const options = layoutOf(text)
  const write = (list: readonly Document[]): string =>
    list.map(document => document.toString(options)).join('')
  const documents = parseAll(text)
  const before = write(documents)
  edit(documents)
  return keepLines(text, before, write(documents))
}

/** As most of the text is written. */
function layoutOf(text: string): ToStringOptions {
  const indent = /^( {1,8})[^\s#-]/m.exec(text)?.[1]?.length ?? 2
  return {
    lineWidth: 0,
    indent: Math.max(indent, 1),
    indentSeq: !/^( *)[^\s#-][^#\n]*:[ \t]*\n(\s*#.*\n)*\1- /m.test(text),
    flowCollectionPadding: !/[{[][^\s{}[\],]/.test(text) || /[{[] /.test(text),
  }
}

/**
 * `before` is `text` with other white space, `after` is `before` with a change: gives `text` with that change. Lines at the
 * start and at the end that the change leaves are taken from `text`, found by how much stands before them, white space apart.
 */
function keepLines(text: string, before: string, after: string): string {
  if (solid(text) !== solid(before)) return after
  const [old, now, written] = [linesOf(before), linesOf(after), linesOf(text)]
  let head = 0
  while (head < Math.min(old.length, now.length) && old[head] === now[head]) head++
  let tail = 0
  while (tail < Math.min(old.length, now.length) - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++
  const start = startsOf(written)
  const oldStart = startsOf(old)
  const total = oldStart.at(-1)!
  while (head > 0 && !start.includes(oldStart[head]!)) head--
  const endAt = () => start.lastIndexOf(oldStart[old.length - tail]!)
  while (tail > 0 && endAt() < 0) tail--
  const kept = head === 0 ? [] : written.slice(0, start.indexOf(oldStart[head]!))
  const rest = tail === 0 || oldStart[old.length - tail] === total ? [] : written.slice(endAt())
  const indents = indentsOf(old, written, head)
  const middle = now
    .slice(head, rest.length === 0 ? now.length : now.length - tail)
    .map(line => line.replace(/^ */, found => ' '.repeat(indents.get(found.length) ?? found.length)))
  const merged = [...kept, ...middle, ...rest].join('')
  return isSame(merged, after) ? merged : after
}

/** How far lines of each indentation in `old` are indented in `written`, those nearest before `at` counting most. */
function indentsOf(old: readonly string[], written: readonly string[], at: number): Map<number, number> {
  const places = new Map(startsOf(written).map((start, line) => [start, line]))
  const starts = startsOf(old)
  const indents = new Map<number, number>()
  for (const line of [...old.keys()].sort((a, b) => (a <= at ? a : -a) - (b <= at ? b : -b))) {
    const other = written[places.get(starts[line]!) ?? -1]
    if (other !== undefined && solid(other) !== '') indents.set(old[line]!.search(/\S/), other.search(/\S/))
  }
  return indents
}

const isSame = (text: string, other: string): boolean =>
  isDeepStrictEqual(
    ...([text, other].map(each => parseAll(each).map(document => document.toJS())) as [unknown, unknown]),
  )

const solid = (text: string): string => text.replaceAll(/\s/g, '')
const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? []

/** How many characters that are no white space come before each line, and before the end. */
function startsOf(lines: readonly string[]): number[] {
  let count = 0
  return [0, ...lines.map(line => (count += solid(line).length))]
}
