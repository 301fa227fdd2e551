import { z } from 'zod'
import { PackedChange } from '../../schemas/tables-change.ts'
import { Want } from '../../schemas/want.ts'

/**
 * What a node is called with when it has a new want: the want as Redis holds it, and, when that is little, what it
 * changes in the state that was wanted before.
 */
export interface Offer {
  readonly want: Want
  readonly change: PackedChange | null
}

const Message = z.strictObject({ want: Want, change: PackedChange.nullable() })

/** Null: it is no offer, or of another version; what is wanted can be read all the same. */
export function readOffer(text: string): Offer | null {
  try {
    return Message.parse(JSON.parse(text))
  } catch {
    return null
  }
}
