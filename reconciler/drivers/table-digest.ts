import { changedKeys } from '../../schemas/changed-table.ts'
import { digestOf, sha256 } from '../../schemas/digest.ts'
import type { RowKey, Table } from '../../schemas/node-state.ts'
import type { Digest } from '../../schemas/want.ts'

/** A row that is the same object as the last time is not looked into: rows and tables must not be changed. */
export type TableDigest = (rows: Table<object>) => Digest

/** So many that a table of thousands of rows has a few in each; all nodes must agree. */
const BUCKETS = 256

interface Bucket {
  /** Key → digest of the row. */
  readonly rows: Map<RowKey, Digest>
  digest: Digest
}

/**
 * A digest of a table, equal for equal rows in whatever order: over the digests of buckets, over those of rows. One who
 * looks at the same table again and again pays for what changed.
 */
export function createTableDigest(): TableDigest {
  const buckets = Array.from({ length: BUCKETS }, (): Bucket => ({ rows: new Map(), digest: '' }))
  const known = new Map<RowKey, { row: object; bucket: Bucket }>()
  let whole = digestBuckets(buckets)

  let last: Table<object> = {}

  /** Gives the bucket, when that has changed. */
  function look(key: RowKey, row: object | undefined): Bucket | null {
    const before = known.get(key)
    if (before?.row === row) return null
    const bucket = before?.bucket ?? buckets[bucketOf(key)]!
    if (row === undefined) {
      known.delete(key)
      return bucket.rows.delete(key) ? bucket : null
    }
    known.set(key, { row, bucket })
    const digest = digestRow(row)
    if (bucket.rows.get(key) === digest) return null
    bucket.rows.set(key, digest)
    return bucket
  }

  function* looksAt(rows: Table<object>): Generator<Bucket | null> {
    const changed = changedKeys(last, rows)
    const keys = changed ?? Object.keys(rows)
    for (const key of keys) yield look(key, rows[key])
    if (changed !== null || known.size === Object.keys(rows).length) return
    for (const key of known.keys()) if (rows[key] === undefined) yield look(key, undefined)
  }

  return rows => {
    const touched = new Set([...looksAt(rows)].filter(bucket => bucket !== null))
    last = rows
    if (touched.size === 0) return whole
    for (const bucket of touched) bucket.digest = digestBucket(bucket)
    whole = digestBuckets(buckets)
    return whole
  }
}

/** Of a table that is looked at once. */
export function digestTable(rows: Table<object>): Digest {
  const lines = new Map<number, string[]>()
  for (const [key, row] of Object.entries(rows)) {
    const bucket = bucketOf(key)
    const line = lineOf(key, digestRow(row))
    lines.set(bucket, [...(lines.get(bucket) ?? []), line])
  }
  return digestBuckets(
    Array.from({ length: BUCKETS }, (_, n) => ({ digest: digestLines(lines.get(n) ?? []) })),
  )
}

const digestBuckets = (buckets: readonly Pick<Bucket, 'digest'>[]): Digest =>
  sha256(buckets.map(({ digest }) => digest).join())

const digestBucket = ({ rows }: Bucket): Digest =>
  digestLines(Array.from(rows, ([key, digest]) => lineOf(key, digest)))

const lineOf = (key: RowKey, digest: Digest): string => `${digest} ${key}\n`

const digestLines = (lines: string[]): Digest => (lines.length === 0 ? '' : sha256(lines.sort().join('')))

/** Many drivers of simulated nodes hold the same rows. */
const rowDigests = new WeakMap<object, Digest>()

/** Remembered by the row: who does this before, in slices, does not keep the event loop with a thousand new rows. */
export function digestRow(row: object): Digest {
  const digest = rowDigests.get(row) ?? digestOf(row)
  rowDigests.set(row, digest)
  return digest
}

/** FNV-1a, 32 bits, of UTF-16 code units. */
function bucketOf(key: RowKey): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash >>> 0) % BUCKETS
}
