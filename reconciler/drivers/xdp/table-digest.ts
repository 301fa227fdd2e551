import { createHash } from 'node:crypto'
import { canonicalJson } from '../../../schemas/digest.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { Digest } from '../../../schemas/want.ts'
import type { Breathe } from './breather.ts'

type Entries = readonly (readonly [RowKey, object])[]

/**
 * `digestOf` a table, for the same rows again and again: what a row's object is in canonical JSON is worked
 * out once. Rows must not be changed.
 */
export function createTableDigest(): (entries: Entries, breathe: Breathe) => Promise<Digest> {
  const texts = new WeakMap<object, string>()
  let last: { lines: readonly string[]; digest: Digest } | undefined

  const lineOf = ([key, row]: readonly [RowKey, object]): string => {
    const line = texts.get(row) ?? `${JSON.stringify(key)}:${canonicalJson(row)}`
    texts.set(row, line)
    return line
  }
  return async (entries, breathe) => {
    const lines: string[] = []
    // RFC 8785 sorts by UTF-16 code units, as `<` does.
    for (const entry of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      await breathe()
      lines.push(lineOf(entry))
    }
    if (last?.lines.length === lines.length && last.lines.every((line, i) => line === lines[i])) {
      return last.digest
    }
    const hash = createHash('sha256').update('{')
    for (const [place, line] of lines.entries()) {
      await breathe()
      hash.update(place === 0 ? line : `,${line}`)
    }
    const digest = hash.update('}').digest('hex')
    last = { lines, digest }
    return digest
  }
}
