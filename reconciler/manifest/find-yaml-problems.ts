import { type Alias, type Document, isAlias, isMap, isScalar, isSeq, type Node, type Scalar } from 'yaml'
import { otherReading } from './other-reading.ts'
import { isBlank } from './read-yaml.ts'

/** Something that YAML allows, or should not, and that would surprise the person who wrote it. */
export interface YamlProblem {
  readonly rule: YamlRule
  readonly message: string
  readonly hint: string
  readonly offset: number
}

export const YAML_RULES = [
  'yaml-syntax',
  'yaml-ambiguous',
  'yaml-duplicate-key',
  'yaml-key',
  'yaml-merge-key',
  'yaml-alias',
  'yaml-tag',
  'yaml-depth',
] as const
type YamlRule = (typeof YAML_RULES)[number]

const MAX_DEPTH = 32
/** How many values the aliases of a document may stand for, all together. */
const MAX_ALIASED = 10_000
/** How many aliases a document may have: to follow one takes as long as there are anchors and aliases. */
const MAX_ALIASES = 1_000

const CORE_TAG = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/

/** What is wrong with a document before its meaning is looked at. Linear in its size. */
export function findYamlProblems(document: Document.Parsed): YamlProblem[] {
  const inspection = new Inspection()
  // The parser ran out of stack.
  for (const { code, message, pos } of document.errors)
    if (code === 'RESOURCE_EXHAUSTION') inspection.reportDepth(pos[0])
    else inspection.report('yaml-syntax', pos[0], `This is not YAML: ${message}.`, syntaxHint(code))
  const { version } = document.directives.yaml
  if (version !== '1.2')
    inspection.report(
      'yaml-ambiguous',
      document.range[0],
      `The document asks for YAML ${version}, and manifests are YAML 1.2.`,
      'Remove the line that starts with %YAML.',
    )
  inspection.visit(document.contents, 0)
  return inspection.problems
}

function syntaxHint(code: string): string {
  const hints: Readonly<Record<string, string>> = {
    TAB_AS_INDENT: 'Indent with spaces.',
    BAD_INDENT: 'Indent what belongs together by the same number of spaces.',
    MISSING_CHAR: 'Add the character that is missing.',
    BLOCK_AS_IMPLICIT_KEY: 'Put each key on a line of its own, and quote a value that contains ": ".',
  }
  return hints[code] ?? 'Compare the indentation, quotes and brackets with a line that works.'
}

/** One walk over a document. Sizes count values, with each alias counted for what it stands for. */
class Inspection {
  readonly problems: YamlProblem[] = []
  /** The size of every anchored value so far; null while the walk is inside it. */
  readonly #anchors = new Map<string, number | null>()
  #aliased = 0
  #aliases = 0
  #tooDeep = false

  report(rule: YamlRule, offset: number, message: string, hint: string): void {
    this.problems.push({ rule, message, hint, offset })
  }

  reportDepth(offset: number): void {
    if (!this.#tooDeep)
      this.report('yaml-depth', offset, `This is nested more than ${MAX_DEPTH} deep.`, 'Flatten it.')
    this.#tooDeep = true
  }

  visit(node: unknown, depth: number): number {
    if (isAlias(node)) return this.#visitAlias(node)
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return 0
    const { tag, anchor } = node
    if (tag !== undefined && !CORE_TAG.test(tag))
      this.report('yaml-tag', startOf(node), `The tag ${tag} means nothing here.`, 'Remove it.')
    if (anchor !== undefined) this.#anchors.set(anchor, null)
    const size = isScalar(node) ? this.#visitScalar(node) : this.#visitItems(node, depth)
    if (anchor !== undefined) this.#anchors.set(anchor, size)
    return size
  }

  #visitAlias(node: Alias): number {
    const size = this.#anchors.get(node.source)
    const refuse = (message: string, hint = 'Write the value out.') =>
      this.report('yaml-alias', startOf(node), message, hint)
    if (size === undefined) refuse(`No anchor &${node.source} stands before this alias.`)
    if (size === null) refuse(`The value &${node.source} contains itself.`)
    this.#aliases += 1
    if (this.#aliases === MAX_ALIASES + 1)
      refuse(
        `This document has more than ${MAX_ALIASES} aliases.`,
        'Use a BackendPool for what services share.',
      )
    const before = this.#aliased
    this.#aliased += size ?? 0
    if (before <= MAX_ALIASED && this.#aliased > MAX_ALIASED)
      refuse(
        `The aliases of this document stand for more than ${MAX_ALIASED} values.`,
        'Use a BackendPool for what services share.',
      )
    return size ?? 0
  }

  #visitScalar(node: Scalar): number {
    const source = node.source ?? ''
    const reading = node.tag === undefined && node.type === 'PLAIN' ? otherReading(source) : null
    if (reading !== null)
      this.report(
        'yaml-ambiguous',
        startOf(node),
        `Programs disagree about ${source}: ${reading.why}.`,
        reading.hint,
      )
    return 1
  }

  #visitItems(node: Node, depth: number): number {
    let size = 1
    if (depth >= MAX_DEPTH) this.reportDepth(startOf(node))
    else if (isSeq(node)) for (const item of node.items) size += this.visit(item, depth + 1)
    else if (isMap(node)) {
      const seen = new Set<string>()
      for (const { key, value } of node.items) {
        if (!isScalar(key) || typeof key.value !== 'string' || key.value === '__proto__')
          this.report(
            'yaml-key',
            startOf(key ?? node),
            'A key must be a plain word or quoted text.',
            'Quote the key, or remove it.',
          )
        else {
          this.#visitKey(key as Scalar<string>, value, seen)
          seen.add(key.value)
        }
        size += 1 + this.visit(value, depth + 1)
      }
    }
    return size
  }

  #visitKey(key: Scalar<string>, value: unknown, seen: ReadonlySet<string>): void {
    const plain = key.type === 'PLAIN'
    if (plain && key.value === '<<')
      this.report(
        'yaml-merge-key',
        startOf(key),
        'Merge keys are not part of YAML 1.2.',
        'Write the fields out; services share backends by a BackendPool.',
      )
    else if (plain && /^[0-9a-f:]+:$/i.test(key.value) && isBlank(value))
      this.report(
        'yaml-ambiguous',
        startOf(key),
        `${key.value}: is a key without a value, because of the colon at its end.`,
        'Quote the address.',
      )
    else if (seen.has(key.value))
      this.report(
        'yaml-duplicate-key',
        startOf(key),
        `The key ${key.value} stands here for the second time.`,
        'Remove one of the two.',
      )
    else this.visit(key, 0)
  }
}

const startOf = (node: unknown): number => (node as Node).range?.[0] ?? 0
