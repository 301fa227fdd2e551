import { digestOf } from '../../schemas/digest.ts'
import type { Digest } from '../../schemas/want.ts'

/** Many nodes share their rows, and a row is never changed. */
const digests = new WeakMap<object, Digest>()

/**
 * Of the policy in a row: a ring's slots that are not as its backends would have them are a fault found on a
 * node, which a review does not decide about. Null for no row.
 */
export function digestRow(row: object | null): Digest | null {
  if (row === null) return null
  const known = digests.get(row)
  if (known !== undefined) return known
  const digest = digestOf(policyOf(row))
  digests.set(row, digest)
  return digest
}

function policyOf(row: object): object {
  if (!('ring' in row)) return row
  const { ring: _, ...policy } = row
  return policy
}
