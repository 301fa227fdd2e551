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

export const SCHEMA_RULES = ['field-unknown', 'field-missing', 'field-type', 'field-value'] as const
type SchemaRule = (typeof SCHEMA_RULES)[number]

type Issue = z.core.$ZodIssue

/** What zod found, in words for the person who wrote the manifest. Made as they are asked for. */
export function* findSchemaProblems(
  schema: z.ZodType,
  root: unknown,
  issues: readonly Issue[],
  base: ValuePath = [],
): Iterable<SchemaProblem> {
  for (const issue of issues) {
    const path = [...base, ...(issue.path as (string | number)[])]
    const value = valueAt(root, path)
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) yield unknownKey(schema, path, key)
    else if (issue.code === 'invalid_key') yield unusableKey(path.slice(0, -1), String(path.at(-1)))
    else if (issue.code === 'invalid_union' && value !== undefined && issue.errors.length > 0)
      yield* findSchemaProblems(schema, root, closestBranch(issue, value), path)
    else yield { ...explain(issue, nameOf(path), value, descriptionAt(schema, path)), path }
  }
}

function unknownKey(schema: z.ZodType, path: ValuePath, key: string): SchemaProblem {
  const known = keysAt(schema, path)
  return {
    rule: 'field-unknown',
    message: `${nameOf(path)} has no field ${JSON.stringify(key)}.`,
    hint: suggest(key, known, `Remove it. The fields here are ${known.join(', ')}.`),
    path,
    key,
  }
}

const unusableKey = (path: ValuePath, key: string): SchemaProblem => ({
  rule: 'field-value',
  message: `${nameOf(path)} cannot have the key ${JSON.stringify(key)}.`,
  hint: 'Use letters, digits, "-", "_" and ".", after a DNS name and "/" if need be.',
  path,
  key,
})

/** Of the alternatives, the one that the value came closest to: it has the right type, or would without quotes. */
function closestBranch(issue: z.core.$ZodIssueInvalidUnion, value: unknown): readonly Issue[] {
  const ofItsType = (errors: readonly Issue[]) =>
    !errors.some(
      each =>
        each.path.length === 0 &&
        (each.code === 'invalid_type' ||
          (each.code === 'invalid_value' && each.values.every(other => typeof other !== typeof value))),
    )
  const ofNumbers = (errors: readonly Issue[]) =>
    errors.some(each => each.code === 'invalid_type' && each.expected === 'number')
  const number = typeof value === 'string' && /^\d+$/.test(value) && issue.errors.find(ofNumbers)
  if (number) return number
  return issue.errors.find(ofItsType) ?? issue.errors[0] ?? []
}

/** `value` is undefined when it was not written; `description` is what the schema says of it. */
function explain(
  issue: Issue,
  name: string,
  value: unknown,
  description: string,
): Pick<SchemaProblem, 'rule' | 'message' | 'hint'> {
  const hint = description || 'Change it.'
  const found = inWords(value)
  if (value === undefined)
    return { rule: 'field-missing', message: `${name} is missing.`, hint: `Add it. ${description}`.trim() }
  switch (issue.code) {
    case 'invalid_type': {
      const expected = EXPECTED[issue.expected] ?? issue.expected
      const message = `${name} must be ${expected}, not ${found}.`
      return { rule: 'field-type', message, hint: typeHint(issue.expected, value) ?? hint }
    }
    case 'invalid_value': {
      const values = issue.values.map(String)
      const message = `${name} is ${found}, which is none of ${values.join(', ')}.`
      return { rule: 'field-value', message, hint: suggest(String(value), values, hint) }
    }
    case 'invalid_union': {
      // Of alternatives that one field tells apart, none has this value.
      const values = ('options' in issue ? (issue.options ?? []) : []).map(String)
      const message = `${name} is ${found}, which is none of ${values.join(', ')}.`
      return { rule: 'field-value', message, hint: suggest(String(value), values, hint) }
    }
    case 'too_small':
      return { rule: 'field-value', message: sizeMessage(name, value, 'at least', issue.minimum), hint }
    case 'too_big':
      return { rule: 'field-value', message: sizeMessage(name, value, 'at most', issue.maximum), hint }
    case 'custom':
      return { rule: 'field-value', message: `${name} ${issue.message}: ${found}.`, hint }
    default:
      return { rule: 'field-value', message: `${name} cannot be ${found}.`, hint }
  }
}

function sizeMessage(name: string, value: unknown, side: string, bound: number | bigint): string {
  if (Array.isArray(value))
    return `${name} must have ${side} ${bound} ${bound === 1 ? 'entry' : 'entries'}, and has ${value.length}.`
  if (typeof value === 'string')
    return `${name} must have ${side} ${bound} characters, and has ${value.length}.`
  return `${name} must be ${side} ${bound}, not ${inWords(value)}.`
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

function typeHint(expected: string, value: unknown): string | null {
  if (value === null) return 'Remove the key, or give it a value.'
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean'))
    return 'Put it in quotes.'
  if (expected === 'number' && typeof value === 'string' && /^\d+$/.test(value)) return 'Remove the quotes.'
  if (expected === 'boolean') return 'Write true or false, without quotes.'
  if (expected === 'array') return 'Put "- " in front of each entry.'
  return null
}

function inWords(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** `spec.ports[0].port` */
function nameOf(path: ValuePath): string {
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
