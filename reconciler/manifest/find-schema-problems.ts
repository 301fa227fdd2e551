import type { z } from 'zod'
import type { ValuePath } from './manifest.ts'
import { descriptionAt, keysAt } from './schema-at.ts'
import { suggest } from './suggest.ts'

/** A value that its schema refuses. */
export interface SchemaProblem {
  readonly rule: SchemaRule
  readonly message: string
  readonly hint: string
  readonly path: ValuePath
  /** The problem is this key of the mapping at `path`. */
  readonly key?: string
}

export type SchemaRule = 'field-unknown' | 'field-missing' | 'field-type' | 'field-value'

/** What zod found, in words for the person who wrote the manifest. */
export function findSchemaProblems(
  schema: z.ZodType,
  value: unknown,
  issues: readonly z.core.$ZodIssue[],
): SchemaProblem[] {
  return issues.flatMap(issue => explain(schema, value, issue, []))
}

function explain(
  schema: z.ZodType,
  root: unknown,
  issue: z.core.$ZodIssue,
  base: ValuePath,
): SchemaProblem[] {
  const path = [...base, ...(issue.path as (string | number)[])]
  const value = valueAt(root, path)
  const description = descriptionAt(schema, path)
  const name = nameOf(path)
  if (value === undefined)
    return [
      { rule: 'field-missing', message: `${name} is missing.`, hint: `Add it. ${description}`.trim(), path },
    ]
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map(key => unknownKey(schema, path, key))
    case 'invalid_union':
      return bestBranch(issue).flatMap(inner => explain(schema, root, inner, path))
    case 'invalid_type':
      return [
        {
          rule: 'field-type',
          message: `${name} must be ${EXPECTED[issue.expected] ?? issue.expected}, not ${inWords(value)}.`,
          hint: typeHint(issue.expected, value, description),
          path,
        },
      ]
    case 'invalid_key':
      return [
        {
          rule: 'field-value',
          message: `The key ${JSON.stringify(path.at(-1))} in ${nameOf(path.slice(0, -1))} cannot be used.`,
          hint: 'Use a word of letters, digits, "-", "_" and ".", after a DNS name and "/" if need be.',
          path: path.slice(0, -1),
          key: String(path.at(-1)),
        },
      ]
    case 'invalid_value':
      return [
        {
          rule: 'field-value',
          message: `${name} is ${inWords(value)}, which is none of ${issue.values.join(', ')}.`,
          hint: suggest(String(value), issue.values.map(String), `Choose one. ${description}`.trim()),
          path,
        },
      ]
    case 'too_small':
    case 'too_big':
      return [
        {
          rule: 'field-value',
          message: sizeMessage(name, value, issue),
          hint: description || 'Change it.',
          path,
        },
      ]
    case 'custom':
      return [
        {
          rule: 'field-value',
          message: `${name} ${issue.message}: ${inWords(value)}.`,
          hint: description || 'Change it.',
          path,
        },
      ]
    default:
      return [
        {
          rule: 'field-value',
          message: `${name} cannot be ${inWords(value)}.`,
          hint: description || 'Change it.',
          path,
        },
      ]
  }
}

function unknownKey(schema: z.ZodType, path: ValuePath, key: string): SchemaProblem {
  const known = keysAt(schema, path)
  const where = path.length === 0 ? 'A manifest' : nameOf(path)
  return {
    rule: 'field-unknown',
    message: `${where} has no field ${JSON.stringify(key)}.`,
    hint: suggest(key, known, `Remove it. Its fields are ${known.join(', ')}.`),
    path,
    key,
  }
}

/** Of the alternatives, the one that the value came closest to: it has the right type. */
function bestBranch(issue: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] {
  const fits = issue.errors.find(
    errors => !errors.some(each => each.code === 'invalid_type' && each.path.length === 0),
  )
  return fits ?? issue.errors[0] ?? []
}

function sizeMessage(
  name: string,
  value: unknown,
  issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig,
): string {
  const bound = issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`
  if (Array.isArray(value)) return `${name} must have ${bound} entries, and has ${value.length}.`
  if (typeof value === 'string') return `${name} must have ${bound} characters, and has ${value.length}.`
  return `${name} must be ${bound}, and is ${String(value)}.`
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

function typeHint(expected: string, value: unknown, description: string): string {
  if (value === null) return 'Remove the key, or give it a value.'
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean'))
    return `Quote it: "${value}".`
  if (expected === 'number' && typeof value === 'string' && /^\d+$/.test(value)) return 'Remove the quotes.'
  if (expected === 'boolean') return 'Write true or false, without quotes.'
  if (expected === 'array') return 'Put "- " in front of each entry.'
  return description || 'Change it.'
}

function inWords(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** `spec.ports[0].port` */
export function nameOf(path: ValuePath): string {
  if (path.length === 0) return 'The manifest'
  return path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${step}`))
    .join('')
}

function valueAt(root: unknown, path: ValuePath): unknown {
  let value = root
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}
