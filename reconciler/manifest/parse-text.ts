import leven from 'leven'
import { type Document, isMap, isScalar } from 'yaml'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { API_GROUP, API_VERSION } from '../../schemas/manifest/metadata.ts'
import { KINDS, type Kind, type Resource } from '../../schemas/manifest/resource.ts'
import { findSchemaProblems, SCHEMA_RULES } from './find-schema-problems.ts'
import { findYamlProblems, YAML_RULES } from './find-yaml-problems.ts'
import type { Broken } from './manifest.ts'
import { readPlainYaml } from './read-plain-yaml.ts'
import { isBlank, offsetOf, offsetOfKey, readYaml, type Spot, type YamlText } from './read-yaml.ts'
import { suggest } from './suggest.ts'

/** Ids of what can be wrong with a text by itself. All are errors but `yaml-bom`. */
export const PARSE_RULES = [
  ...YAML_RULES,
  ...SCHEMA_RULES,
  'yaml-bom',
  'api-version',
  'kind',
  'too-many',
] as const
type ParseRule = (typeof PARSE_RULES)[number]

/** A diagnostic that does not know its file. */
interface Problem extends Omit<Diagnostic, 'at'>, Spot {
  readonly rule: ParseRule
}

/**
 * What a text holds: plain data, so that it can be kept by blob id and made on another thread.
 * `document` counts the YAML documents of the text from 0; line and column are those of the name.
 */
export interface ParsedText {
  readonly resources: readonly (Spot & { readonly document: number; readonly resource: Resource })[]
  readonly problems: readonly Problem[]
  readonly broken: readonly Broken[]
  readonly ignored: number
}

/** A text can be wrong in so many ways at once that nobody would read them. */
const MAX_PROBLEMS = 100

/** Reads every document of ours in a text. Never throws, whatever the text. */
export function parseText(text: string): ParsedText {
  return parsePlainText(text) ?? parseAnyText(text)
}

/** One whole document of ours without a fault, as nearly all are; null for any other text. */
function parsePlainText(text: string): ParsedText | null {
  const plain = readPlainYaml(text)
  if (plain === null) return null
  const { apiVersion, kind } = plain.value
  if (apiVersion !== API_VERSION || typeof kind !== 'string' || !Object.hasOwn(KINDS, kind)) return null
  const parsed = KINDS[kind as Kind].safeParse(plain.value)
  if (!parsed.success) return null
  return {
    resources: [{ resource: parsed.data, document: 0, ...plain.name }],
    problems: [],
    broken: [],
    ignored: 0,
  }
}

function parseAnyText(text: string): ParsedText {
  const yaml = readYaml(text)
  const resources: ParsedText['resources'][number][] = []
  const broken: Broken[] = []
  const problems: Problem[] = []
  let ignored = 0
  for (const [index, document] of yaml.documents.entries()) {
    if (isEmpty(document)) continue
    const written = { apiVersion: scalarAt(document, 'apiVersion'), kind: scalarAt(document, 'kind') }
    if (!isOurs(document, written.apiVersion, text)) {
      ignored += 1
      continue
    }
    const result = parseDocument(document, yaml, written)
    problems.push(...result.problems)
    if (result.resource === null) broken.push({ kind: written.kind, name: nameOf(document) })
    else
      resources.push({
        resource: result.resource,
        document: index,
        ...yaml.spotOf(offsetOf(document, ['metadata', 'name'])),
      })
  }
  if (text.startsWith('\uFEFF') && resources.length + broken.length > 0) problems.push(BOM)
  return { resources, problems: limit(problems), broken, ignored }
}

const BOM: Problem = {
  rule: 'yaml-bom',
  severity: 'warning',
  message: 'The file starts with a byte order mark, which some programs take for part of the first key.',
  hint: 'Save it as UTF-8 without a byte order mark.',
  line: 1,
  column: 1,
}

interface Written {
  readonly apiVersion: string | null
  readonly kind: string | null
}

function parseDocument(
  document: Document.Parsed,
  yaml: YamlText,
  written: Written,
): { resource: Resource | null; problems: Problem[] } {
  const error = (rule: ParseRule, message: string, hint: string, offset: number): Problem => ({
    rule,
    severity: 'error',
    message,
    hint,
    ...yaml.spotOf(offset),
  })
  const problems = findYamlProblems(document).map(each =>
    error(each.rule, each.message, each.hint, each.offset),
  )
  // What is left of a text that is not YAML would only be blamed for what is missing from it.
  if (problems.some(({ rule }) => UNREADABLE.has(rule))) return { resource: null, problems }

  if (written.apiVersion !== API_VERSION) {
    const place = offsetOf(document, ['apiVersion'])
    const message =
      written.apiVersion === null
        ? 'The apiVersion is missing.'
        : `The apiVersion ${JSON.stringify(written.apiVersion)} is unknown to this version of Ballast.`
    return {
      resource: null,
      problems: [...problems, error('api-version', message, `Write ${API_VERSION}.`, place)],
    }
  }
  if (written.kind === null || !Object.hasOwn(KINDS, written.kind)) {
    const kinds = Object.keys(KINDS)
    const message =
      written.kind === null ? 'The kind is missing.' : `There is no kind ${JSON.stringify(written.kind)}.`
    const hint = suggest(written.kind ?? '', kinds, `Choose one of ${kinds.join(', ')}.`)
    return {
      resource: null,
      problems: [...problems, error('kind', message, hint, offsetOf(document, ['kind']))],
    }
  }

  const schema = KINDS[written.kind as Kind]
  const value: unknown = document.toJS({ maxAliasCount: -1 })
  const parsed = schema.safeParse(value)
  if (!parsed.success)
    for (const { rule, message, hint, path, key } of findSchemaProblems(schema, value, parsed.error.issues)) {
      if (problems.length > MAX_PROBLEMS) break
      const offset = key === undefined ? offsetOf(document, path) : offsetOfKey(document, path, key)
      problems.push(error(rule, message, hint, offset))
    }
  return { resource: parsed.success && problems.length === 0 ? parsed.data : null, problems }
}

/** After one of these, the rest of the document is not looked at. */
const UNREADABLE: ReadonlySet<ParseRule> = new Set(['yaml-syntax', 'yaml-key', 'yaml-alias', 'yaml-depth'])

/**
 * A document is ours by its apiVersion. One that is nearly ours counts too, and one that cannot be read and
 * mentions us: a slip of the finger must not make a service disappear without a word.
 */
function isOurs(document: Document.Parsed, apiVersion: string | null, text: string): boolean {
  if (apiVersion !== null) {
    const lower = apiVersion.slice(0, 64).toLowerCase()
    return lower.startsWith(`${API_GROUP}/`) || leven(lower, API_VERSION, { maxDistance: 3 }) < 3
  }
  const source = text.slice(document.range[0], document.range[2])
  return source.includes(`${API_GROUP}/`) && (document.errors.length > 0 || isMap(document.contents))
}

function scalarAt(document: Document.Parsed, ...path: string[]): string | null {
  let node: unknown = document.contents
  for (const step of path) {
    if (!isMap(node)) return null
    node = node.items.find(({ key }) => isScalar(key) && key.value === step)?.value
  }
  return isScalar(node) && typeof node.value === 'string' ? node.value : null
}

const isEmpty = ({ contents, errors }: Document.Parsed) =>
  errors.length === 0 && (contents === null || isBlank(contents))

const nameOf = (document: Document.Parsed) => scalarAt(document, 'metadata', 'name')

function limit(problems: Problem[]): Problem[] {
  const last = problems[MAX_PROBLEMS]
  if (last === undefined) return problems
  const rest: Problem = {
    ...last,
    rule: 'too-many',
    message: `More is wrong in this file than the ${MAX_PROBLEMS} problems before this line.`,
    hint: 'Mend those first.',
  }
  return [...problems.slice(0, MAX_PROBLEMS), rest]
}
