import { type Document, isAlias, isCollection, isMap, isScalar, type Node, type Scalar } from 'yaml'

/** Something that YAML allows, or should not, and that would surprise the person who wrote it. */
export interface YamlProblem {
  readonly rule: YamlRule
  readonly message: string
  readonly hint: string
  readonly offset: number
}

export type YamlRule =
  | 'yaml-syntax'
  | 'yaml-ambiguous'
  | 'yaml-duplicate-key'
  | 'yaml-key'
  | 'yaml-merge-key'
  | 'yaml-alias'
  | 'yaml-tag'
  | 'yaml-depth'

const MAX_DEPTH = 32
/** How many values the aliases of a document may stand for, all together. */
const MAX_ALIASED = 10_000

const CORE_TAG = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/

/** What is wrong with a document before its meaning is looked at. Linear in its size. */
export function findYamlProblems(document: Document.Parsed): YamlProblem[] {
  const problems: YamlProblem[] = document.errors.map(error => ({
    rule: 'yaml-syntax',
    message: `This is not YAML: ${error.message}.`,
    hint: SYNTAX_HINTS[error.code] ?? 'Compare the indentation, quotes and brackets with a line that works.',
    offset: error.pos[0],
  }))
  if (document.directives.yaml.version !== '1.2')
    problems.push({
      rule: 'yaml-ambiguous',
      message: `The document asks for YAML ${document.directives.yaml.version}, and manifests are YAML 1.2.`,
      hint: 'Remove the line that starts with %YAML.',
      offset: document.range[0],
    })
  inspect(document.contents, problems)
  return problems
}

const SYNTAX_HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'Indent with spaces.',
  BAD_INDENT: 'Indent what belongs together by the same number of spaces.',
  MISSING_CHAR: 'Add the character that is missing.',
  BLOCK_AS_IMPLICIT_KEY: 'Put each key on a line of its own, and quote a value that contains ": ".',
}

/** An anchored value: how many values it stands for, null while it is still being read. */
type Anchors = Map<string, number | null>

function inspect(contents: Node | null, problems: YamlProblem[]): void {
  const anchors: Anchors = new Map()
  let aliased = 0
  const report = (rule: YamlRule, node: Node, message: string, hint: string) =>
    problems.push({ rule, message, hint, offset: node.range?.[0] ?? 0 })

  /** Gives the number of values in it, aliases counted for what they stand for. */
  function visit(node: Node | null | undefined, depth: number): number {
    if (node === null || node === undefined) return 0
    if (isAlias(node)) return visitAlias(node)
    if (node.tag !== undefined && !CORE_TAG.test(node.tag))
      report('yaml-tag', node, `The tag ${node.tag} means nothing here.`, 'Remove it.')
    if (node.anchor !== undefined) anchors.set(node.anchor, null)
    const size = isScalar(node) ? visitScalar(node) : visitCollection(node, depth)
    if (node.anchor !== undefined) anchors.set(node.anchor, size)
    return size
  }

  function visitAlias(node: Node & { source: string }): number {
    const size = anchors.get(node.source)
    if (size === undefined)
      report(
        'yaml-alias',
        node,
        `No anchor &${node.source} stands before this alias.`,
        'Write the value out.',
      )
    if (size === null)
      report('yaml-alias', node, `The value &${node.source} contains itself.`, 'Write the value out.')
    const before = aliased
    aliased += size ?? 0
    if (before <= MAX_ALIASED && aliased > MAX_ALIASED)
      report(
        'yaml-alias',
        node,
        `The aliases of this document stand for more than ${MAX_ALIASED} values.`,
        'Use a BackendPool for what services share.',
      )
    return size ?? 0
  }

  function visitScalar(node: Scalar): number {
    const reading = node.tag === undefined && node.type === 'PLAIN' ? otherReading(node.source ?? '') : null
    if (reading !== null)
      report('yaml-ambiguous', node, `Programs disagree about ${node.source}: ${reading.why}.`, reading.hint)
    return 1
  }

  function visitCollection(node: Node, depth: number): number {
    if (!isCollection(node)) return 0
    if (depth >= MAX_DEPTH) {
      report(
        'yaml-depth',
        node,
        `This is nested more than ${MAX_DEPTH} deep.`,
        'No manifest needs that: flatten it.',
      )
      return 1
    }
    let size = 1
    if (!isMap(node)) {
      for (const item of node.items) size += visit(item as Node, depth + 1)
      return size
    }
    const seen = new Set<string>()
    for (const { key, value } of node.items) {
      visitKey(key as Node | null, value as Node | null, seen, node)
      size += 1 + visit(value as Node, depth + 1)
    }
    return size
  }

  function visitKey(key: Node | null, value: Node | null, seen: Set<string>, map: Node): void {
    if (!isScalar(key) || typeof key.value !== 'string' || key.value === '__proto__') {
      report(
        'yaml-key',
        key ?? map,
        'A key must be a plain word or quoted text.',
        'Quote the key, or remove it.',
      )
      return
    }
    if (key.type === 'PLAIN' && key.value === '<<')
      report(
        'yaml-merge-key',
        key,
        'Merge keys are not part of YAML 1.2.',
        'Write the fields out; services share backends by a BackendPool.',
      )
    else if (
      key.type === 'PLAIN' &&
      /^[0-9a-f:]+:$/i.test(key.value) &&
      isScalar(value) &&
      value.source === ''
    )
      report(
        'yaml-ambiguous',
        key,
        `${key.value}: is a key without a value, because of the colon at its end.`,
        'Quote the address.',
      )
    else if (seen.has(key.value))
      report(
        'yaml-duplicate-key',
        key,
        `The key ${key.value} stands here for the second time.`,
        'Remove one of the two.',
      )
    else visitScalar(key)
    seen.add(key.value)
  }

  visit(contents, 0)
}

/** What YAML 1.1 makes of a plain scalar, if it is another thing than in YAML 1.2. */
function otherReading(source: string): { why: string; hint: string } | null {
  if (/^(y|yes|on|n|no|off)$/i.test(source)) {
    const meaning = /^[yY]|^on$/i.test(source)
    return {
      why: `it is text in YAML 1.2 and ${meaning} in YAML 1.1`,
      hint: `Write ${meaning}, or quote it if it is text.`,
    }
  }
  if (/^[-+]?0\d+$/.test(source))
    return {
      why: 'the zero in front makes it octal in YAML 1.1',
      hint: 'Remove the zero, or quote it if it is text.',
    }
  if (/^0o[0-7]+$/.test(source))
    return {
      why: 'it is octal in YAML 1.2 and text in YAML 1.1',
      hint: `Write ${Number(source)}, or quote it if it is text.`,
    }
  if (/^[-+]?(\d[\d_]*_[\d_]*|0b[01_]+|0x[\da-f]*_[\da-f_]*)$/i.test(source))
    return {
      why: 'it is text in YAML 1.2 and a number in YAML 1.1',
      hint: 'Write the number in plain digits, or quote it if it is text.',
    }
  if (/^[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?$/.test(source))
    return { why: 'it is text in YAML 1.2 and a number to the base of 60 in YAML 1.1', hint: 'Quote it.' }
  return null
}
