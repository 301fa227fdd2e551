import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { z } from 'zod'
import { TablesChange } from '../../schemas/tables-change.ts'
import { Want } from '../../schemas/want.ts'

/**
 * What a node is called with when it has a new want: the want as Redis holds it, and, when that is little, what it
 * changes in the state that was wanted before. Whoever holds another state finds that out by the want's digest.
 */
export interface Offer {
  readonly want: Want
  readonly change: TablesChange | null
}

const Message = z.strictObject({ want: Want, change: z.string() })

/** Bytes, packed; one of a hundred nodes reads a larger change from Redis in the same bytes. */
const PACKED_MOST = 16 << 10
const UNPACKED_MOST = 1 << 20

/** Deflate (RFC 1951) in base64: rows of services are alike, and a quarter of their size so. '' when it is too large. */
export function packChange(text: string): string {
  if (text.length > UNPACKED_MOST) return ''
  const packed = deflateRawSync(text).toString('base64')
  return packed.length > PACKED_MOST ? '' : packed
}

/** Null: it is no offer, or of another version; what is wanted can be read all the same. */
export function readOffer(text: string): Offer | null {
  try {
    const { want, change } = Message.parse(JSON.parse(text))
    return { want, change: change === '' ? null : unpackChange(change) }
  } catch {
    return null
  }
}

function unpackChange(packed: string): TablesChange {
  const bytes = inflateRawSync(Buffer.from(packed, 'base64'), { maxOutputLength: UNPACKED_MOST })
  return TablesChange.parse(JSON.parse(bytes.toString()))
}
