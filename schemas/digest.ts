import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { Digest } from './want.ts'

/** SHA-256 of a text (UTF-8) or of bytes. */
export const sha256 = (data: string | Uint8Array): Digest => createHash('sha256').update(data).digest('hex')

/** Canonical JSON (RFC 8785): the same value is the same text everywhere. Throws on what JSON cannot hold. */
export function canonicalJson(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('a value without a JSON form has no canonical JSON')
  return text
}

/** SHA-256 of a value's canonical JSON. */
export const digestOf = (value: unknown): Digest => sha256(canonicalJson(value))
