import type { ValuePath } from './manifest.ts'
import { otherReading } from './other-reading.ts'
import type { Spot } from './read-yaml.ts'

/** A document that was read, and where the value of `metadata.name` stands. */
export interface PlainYaml {
  readonly value: Readonly<Record<string, unknown>>
  readonly name: Spot
}

/**
 * Reads the YAML that nearly all manifests are, twenty times quicker than a YAML parser: one document of block
 * mappings and sequences, one-line flow mappings, plain words, addresses and decimal integers, whole lines of
 * comment. Null for a text with anything else in it, or anything wrong with it, which says nothing about that
 * text: `readYaml` then reads it.
 */
export function readPlainYaml(text: string): PlainYaml | null {
  const read = readPlain(text, null)
  return read === null || read.name === null ? null : { value: read.value, name: read.name }
}

/** Where values stand in such a text, as `offsetOf` of read-yaml.ts says; null where `readPlainYaml` is. */
export function locateInPlainYaml(text: string): ((path: ValuePath) => Spot) | null {
  const spots = new Map<string, Spot>()
  const read = readPlain(text, spots)
  if (read === null || read.name === null) return null
  return path => {
    for (let length = path.length; length > 0; length--) {
      const spot = spots.get(path.slice(0, length).join('\n'))
      if (spot !== undefined) return spot
    }
    return read.start
  }
}

interface Read {
  readonly value: Readonly<Record<string, unknown>>
  readonly name: Spot | null
  /** Of the document. */
  readonly start: Spot
}

function readPlain(text: string, spots: Map<string, Spot> | null): Read | null {
  // Printable ASCII without quotes, anchors, aliases, tags, block scalars, and line feeds.
  if (!/^[\n !#(-9:;<=?@A-Z[\]^_a-z{}~]*$/.test(text)) return null
  const lines: Line[] = []
  for (const [index, source] of text.split('\n').entries()) {
    const indent = source.search(/[^ ]/)
    if (indent < 0 || source[indent] === '#') continue
    if (source === '---' && lines.length === 0) continue
    if (indent > MAX_INDENT) return null
    lines.push({ indent, text: source.slice(indent).trimEnd(), number: index + 1 })
  }
  try {
    const reader = new Reader(lines, spots)
    const value = reader.readBlock(0)
    if (!reader.atEnd || !isMapping(value)) return null
    return { value, name: reader.name, start: { line: lines[0]!.number, column: 1 } }
  } catch (error) {
    if (error === OTHER) return null
    throw error
  }
}

interface Line {
  readonly indent: number
  readonly text: string
  readonly number: number
}

/** Thrown where the text is another YAML. */
const OTHER = Symbol('other')
const MAX_INDENT = 40

/** `key:` or `key: rest`; the key is a word that no YAML takes for anything else. */
const ENTRY = /^([A-Za-z][A-Za-z0-9_./-]*):(?: +(.*))?$/
const FLOW = /^\{ *([^{}[\]]*?) *\}$/

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

class Reader {
  readonly #lines: readonly Line[]
  /** Filled with where each value stands, by its path; null: nobody asks. */
  readonly #spots: Map<string, Spot> | null
  #at = 0
  #path: (string | number)[] = []
  name: Spot | null = null

  constructor(lines: readonly Line[], spots: Map<string, Spot> | null) {
    this.#lines = lines
    this.#spots = spots
  }

  get atEnd(): boolean {
    return this.#at === this.#lines.length
  }

  /** The mapping or sequence whose lines begin at this column. */
  readBlock(indent: number): unknown {
    const line = this.#lines[this.#at]
    if (line === undefined || line.indent !== indent) throw OTHER
    return line.text.startsWith('- ') ? this.#readSequence(indent) : this.#readMapping(indent)
  }

  #readSequence(indent: number): unknown[] {
    const items: unknown[] = []
    for (let line = this.#lines[this.#at]; line?.indent === indent; line = this.#lines[this.#at]) {
      if (!line.text.startsWith('- ')) break
      const rest = line.text.slice(2).trimStart()
      // What is below an item is not below the key alone.
      this.#path.push(items.length)
      this.#note(line, rest)
      if (ENTRY.test(rest)) {
        items.push(this.#readMapping(indent + line.text.length - rest.length, rest))
      } else {
        this.#at++
        items.push(this.#readValue(line, rest))
      }
      this.#path.pop()
    }
    return items
  }

  /** `first` is the entry that stands behind the dash of a sequence. */
  #readMapping(indent: number, first?: string): Record<string, unknown> {
    const mapping: Record<string, unknown> = {}
    let text = first
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[this.#at]) {
      if (text === undefined && (line.indent !== indent || line.text.startsWith('- '))) break
      const entry = text ?? line.text
      const [, key = '', rest = ''] = ENTRY.exec(entry) ?? []
      if (!isKey(key) || Object.hasOwn(mapping, key)) throw OTHER
      text = undefined
      this.#at++
      this.#path.push(key)
      // A collection stands where its key does.
      this.#note(line, rest === '' || rest.startsWith('{') ? entry : rest)
      if (rest === '') mapping[key] = this.#readBelow(indent)
      else {
        mapping[key] = this.#readValue(line, rest)
        if (this.#path.length === 2 && this.#path[0] === 'metadata' && key === 'name') {
          this.name = { line: line.number, column: line.indent + line.text.length - rest.length + 1 }
        }
      }
      this.#path.pop()
    }
    return mapping
  }

  /** A sequence may stand as far to the left as its key. */
  #readBelow(indent: number): unknown {
    const line = this.#lines[this.#at]
    if (line === undefined || line.indent < indent) throw OTHER
    if (line.indent === indent && !line.text.startsWith('- ')) throw OTHER
    return this.readBlock(line.indent)
  }

  /** `text` is the end of the line. */
  #readValue(line: Line, text: string): unknown {
    const flow = FLOW.exec(text)
    if (flow === null) return readScalar(text)
    const mapping: Record<string, unknown> = {}
    let left = text.slice(text.indexOf(flow[1]!))
    for (const part of flow[1]!.split(/ *, */)) {
      const [, key = '', rest = ''] = ENTRY.exec(part) ?? []
      if (!isKey(key) || rest === '' || Object.hasOwn(mapping, key)) throw OTHER
      mapping[key] = readScalar(rest)
      this.#path.push(key)
      this.#note(line, left.slice(part.length - rest.length))
      this.#path.pop()
      left = left.slice(part.length).replace(/^ *, */, '')
    }
    return mapping
  }

  /** That the value whose path it is stands where the rest of the line begins. */
  #note(line: Line, rest: string): void {
    this.#spots?.set(this.#path.join('\n'), {
      line: line.number,
      column: line.indent + line.text.length - rest.length + 1,
    })
  }
}

const INTEGER = /^(0|[1-9]\d{0,14})$/
const WORD = /^[A-Za-z][A-Za-z0-9_./-]*$/
const ADDRESS = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7})(\/\d{1,3})?$/
const CONSTANT = /^(true|false|null)$/i

function readScalar(text: string): unknown {
  if (INTEGER.test(text)) return Number(text)
  if (text === 'true') return true
  if (text === 'false') return false
  const isText = WORD.test(text) || (ADDRESS.test(text) && !text.endsWith(':'))
  if (!isText || CONSTANT.test(text) || otherReading(text) !== null) throw OTHER
  return text
}

/** Words that are keys of manifests, over and over. */
const keys = new Map<string, boolean>()

function isKey(word: string): boolean {
  const known = keys.get(word)
  if (known !== undefined) return known
  const isOne = WORD.test(word) && !CONSTANT.test(word) && otherReading(word) === null
  if (keys.size >= 1_000) keys.clear()
  keys.set(word, isOne)
  return isOne
}
