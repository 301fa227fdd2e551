import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from 'yaml'
import type { ValuePath } from './manifest.ts'

/** A place in a text; both count from 1. */
export interface Spot {
  readonly line: number
  readonly column: number
}

export interface YamlText {
  readonly documents: readonly Document.Parsed[]
  spotOf(offset: number): Spot
}

/** YAML 1.2 with its core schema. Never throws; what is wrong is in the documents. */
export function readYaml(text: string): YamlText {
  const lines = new LineCounter()
  const documents = withoutStackTraces(() =>
    parseAllDocuments(text, {
      version: '1.2',
      schema: 'core',
      lineCounter: lines,
      prettyErrors: false,
      logLevel: 'silent',
      // Keys are compared by `findYamlProblems`: in linear time, and with both places at hand.
      uniqueKeys: false,
    }),
  )
  return {
    documents: Array.isArray(documents) ? documents : [],
    spotOf: offset => {
      const { line, col } = lines.linePos(offset)
      return { line: Math.max(line, 1), column: Math.max(col, 1) }
    },
  }
}

/** A text can have a hundred thousand faults; making their stack traces, which nobody sees, takes longest. */
function withoutStackTraces<T>(work: () => T): T {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return work()
  } finally {
    Error.stackTraceLimit = before
  }
}

/**
 * The offset of the value at a path. A collection, and a value that was left empty, stands where its key
 * does. What was not written stands where the nearest thing around it does, what came through an alias
 * where the alias does.
 */
export function offsetOf(document: Document.Parsed, path: ValuePath): number {
  let offset = startOf(document.contents) ?? document.range[0]
  let node: unknown = document.contents
  for (const step of path) {
    const next = stepInto(node, step)
    if (next === null) return offset
    node = next.value
    offset =
      (isScalar(node) && !isBlank(node)) || next.key === null
        ? (startOf(node) ?? next.key ?? offset)
        : next.key
    if (isAlias(node)) return startOf(node) ?? offset
  }
  return offset
}

/** A value that was left empty. */
export const isBlank = (node: unknown): boolean =>
  isScalar(node) && node.type === 'PLAIN' && node.source === ''

/** The offset of a key in the mapping at a path. */
export function offsetOfKey(document: Document.Parsed, path: ValuePath, key: string): number {
  let node: unknown = document.contents
  for (const step of path) node = stepInto(node, step)?.value
  return stepInto(node, key)?.key ?? offsetOf(document, path)
}

function stepInto(node: unknown, step: string | number): { key: number | null; value: unknown } | null {
  if (isSeq(node)) {
    const value = node.items[Number(step)]
    return value === undefined ? null : { key: null, value }
  }
  if (!isMap(node)) return null
  const pair = node.items.findLast(({ key }) => isScalar(key) && String(key.value) === String(step))
  return pair === undefined ? null : { key: startOf(pair.key), value: pair.value }
}

const startOf = (node: unknown): number | null => (node as Node | null)?.range?.[0] ?? null
