import { canonicalJson } from '../../schemas/digest.ts'

/** Names of fields whose values are shown to nobody. A fingerprint gives no secret away. */
const SECRET = /pass(word|phrase)?$|secret|token|private|credential/i
/** Longer values are cut, characters. */
const LONGEST = 120

/** `field: before → after` for each field that differs, in words; `before` null: all of them. */
export function describeFields(before: object, after: object, without: readonly string[] = []): string[] {
  const was = new Map<string, unknown>(Object.entries(before))
  const is = new Map<string, unknown>(Object.entries(after))
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter(field => !without.includes(field))
    .filter(field => canonicalJson(was.get(field) ?? null) !== canonicalJson(is.get(field) ?? null))
    .map(
      field => `${field}: ${describeValue(field, was.get(field))} → ${describeValue(field, is.get(field))}`,
    )
}

/** JSON on one line, without what may be secret, and not endless. */
export function describeValue(field: string, value: unknown): string {
  if (value === undefined) return 'none'
  if (SECRET.test(field)) return '(not shown)'
  const text = JSON.stringify(value, (name, inner: unknown) => (SECRET.test(name) ? '(not shown)' : inner))
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text
}
