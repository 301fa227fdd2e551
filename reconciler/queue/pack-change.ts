import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { canonicalJson } from '../../schemas/digest.ts'
import { type PackedChange, TablesChange } from '../../schemas/tables-change.ts'

/** Characters; what is larger is read from Redis in the same bytes. */
const PACKED_MOST = 16 << 10
const UNPACKED_MOST = 1 << 20

export interface Unpacked {
  readonly change: TablesChange
  /** Paths of the rows that are put, and what stood there before, as canonical JSON, one behind the other. */
  readonly rows: readonly string[]
  readonly before: string
}

/**
 * Deflate (RFC 1951) with the rows before as its dictionary: a row that changed in one number is a few dozen bytes. Null
 * when it is too large.
 */
export function packChange({ change, rows, before }: Unpacked): PackedChange | null {
  const text = canonicalJson(change)
  if (text.length > UNPACKED_MOST) return null
  const packed = deflateRawSync(text, dictionaryOf(before)).toString('base64')
  return packed.length > PACKED_MOST ? null : { rows: [...rows], packed }
}

/** Null: it is no change, or of other rows than these. */
export function unpackChange({ packed }: PackedChange, before: string): TablesChange | null {
  try {
    const options = { ...dictionaryOf(before), maxOutputLength: UNPACKED_MOST }
    const bytes = inflateRawSync(Buffer.from(packed, 'base64'), options)
    return TablesChange.parse(JSON.parse(bytes.toString()))
  } catch {
    return null
  }
}

const dictionaryOf = (text: string) => (text === '' ? {} : { dictionary: Buffer.from(text) })
