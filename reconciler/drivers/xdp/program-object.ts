import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'

/**
 * The first 4 bytes of the SHA-256 of an object file, read again when the file changes; undefined when there
 * is none.
 */
export function createObjectReader(file: string): () => number | undefined {
  let known: { stamp: string; digest: number } | undefined
  return () => {
    const stat = statSync(file, { throwIfNoEntry: false })
    if (stat === undefined) return undefined
    const stamp = `${stat.ino} ${stat.size} ${stat.mtimeMs}`
    if (known?.stamp !== stamp) {
      const digest = createHash('sha256').update(readFileSync(file)).digest().readUInt32LE()
      known = { stamp, digest }
    }
    return known.digest
  }
}
