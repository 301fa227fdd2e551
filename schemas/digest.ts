import { createHash } from 'node:crypto'
import type { Digest } from './want.ts'

/** SHA-256 of a text (UTF-8) or of bytes. */
export const sha256 = (data: string | Uint8Array): Digest => createHash('sha256').update(data).digest('hex')

/**
 * Canonical JSON (RFC 8785): the same value is the same text everywhere. For plain data; throws `TypeError` on
 * what JSON cannot hold. Numbers and strings are as ECMAScript writes them (3.2.2), which leaves the order of keys.
 */
export function canonicalJson(value: unknown): string {
  // Backends above all, and that is nearly everything: several times faster, and without garbage.
  if (isInOrder(value)) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) throw new TypeError(`${String(value)} has no JSON form`)
  const members: string[] = []
  // By UTF-16 code units, as `sort` does (3.2.3).
  for (const key of Object.keys(value).sort()) {
    const member = (value as Readonly<Record<string, unknown>>)[key]
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(member)}`)
  }
  return `{${members.join(',')}}`
}

/** Whether `JSON.stringify` makes canonical JSON of it; false also for what has none. */
function isInOrder(value: unknown): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object') return false
  if (Array.isArray(value)) return value.every(isInOrder)
  let last = ''
  for (const key in value) {
    const member = (value as Readonly<Record<string, unknown>>)[key]
    if (member === undefined) continue
    if (key < last || !isInOrder(member)) return false
    last = key
  }
  return true
}

/** SHA-256 of a value's canonical JSON. */
export const digestOf = (value: unknown): Digest => sha256(canonicalJson(value))
