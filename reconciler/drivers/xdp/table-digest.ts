import { createHash } from 'node:crypto'
import { canonicalJson } from '../../../schemas/digest.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { Digest } from '../../../schemas/want.ts'

/**
 * `digestOf` a table, for the same rows again and again: what a row's object is in canonical JSON is worked out
 * once. Rows must not be changed.
 */
export function createTableDigest(): (entries: readonly (readonly [RowKey, object])[]) => Digest {
  const texts = new WeakMap<object, string>()
  const textOf = (row: object): string => {
    const text = texts.get(row) ?? canonicalJson(row)
    texts.set(row, text)
    return text
  }
  return entries => {
    const hash = createHash('sha256').update('{')
    // RFC 8785 sorts by UTF-16 code units, as `<` does.
    const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [place, [key, row]] of sorted.entries()) {
      hash.update(`${place === 0 ? '' : ','}${JSON.stringify(key)}:${textOf(row)}`)
    }
    return hash.update('}').digest('hex')
  }
}
