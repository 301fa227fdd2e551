import { canonicalJson, sha256 } from '../../schemas/digest.ts'
import { emptyTables, NODE_STATE_VERSION, NodeState } from '../../schemas/node-state.ts'
import { STATE_ROOT_VERSION, StateBranch, StateBucket, StateRoot } from '../../schemas/state-blob.ts'
import type { Digest } from '../../schemas/want.ts'

/** The parts of a state, from the root down; a part points only at parts of a later kind. */
export const BLOB_KINDS = ['root', 'index', 'branch', 'bucket', 'row'] as const
export type BlobKind = (typeof BLOB_KINDS)[number]

/** A part that another one points at. */
export interface BlobRef {
  readonly kind: BlobKind
  readonly digest: Digest
}

/** A part, with the parts that it points at. */
export interface Blob extends BlobRef {
  /** Canonical JSON; its SHA-256 is the digest. */
  readonly text: string
  readonly children: readonly Blob[]
}

/** A row in its place: the SHA-256 of its path says in which bucket. */
interface PlacedRow {
  readonly place: Digest
  readonly entry: readonly [path: string, row: Blob]
}

/**
 * Rows by their path and JSON. Canonical JSON costs ten times what JSON does (50 ms for 1,000 rows of 20
 * backends), and of 100 nodes most have the same rows, push after push.
 */
export type RowMemo = Map<string, PlacedRow>

/** About what 1,000 services on 100 nodes of all different rows need. */
const MEMO_ROWS = 100_000

/** What a want's `stateDigest` is. */
export const stateDigest = (state: NodeState): Digest => stateTree(state).digest

/**
 * The root of a state's tree. Equal states have equal trees, whatever the order of their rows. A `memo`
 * given to one call makes the next one with the same rows cheaper.
 */
export function stateTree(state: NodeState, memo: RowMemo = new Map()): Blob {
  if (memo.size > MEMO_ROWS) memo.clear()
  const own: PlacedRow['entry'][] = []
  const placed: PlacedRow[] = []
  for (const [driver, table] of Object.entries(state.tables)) {
    for (const [key, row] of Object.entries(table)) {
      const at = placeRow(`${driver} ${key}`, row, memo)
      if (key.startsWith('service/')) placed.push(at)
      else own.push(at.entry)
    }
  }
  const services = placed.length === 0 ? null : makeIndex(placed)
  const root: StateRoot = {
    version: STATE_ROOT_VERSION,
    node: state.node,
    own: digests(own),
    services: services?.digest ?? null,
  }
  return makeBlob('root', root, [...own.map(([, row]) => row), ...(services === null ? [] : [services])])
}

function placeRow(path: string, row: unknown, memo: RowMemo): PlacedRow {
  const known = `${path} ${JSON.stringify(row)}`
  const found = memo.get(known)
  if (found !== undefined) return found
  const made: PlacedRow = { place: sha256(path), entry: [path, makeBlob('row', row, [])] }
  memo.set(known, made)
  return made
}

function makeIndex(placed: readonly PlacedRow[]): Blob {
  const branches = Map.groupBy(placed, ({ place }) => place[0]!)
  return makeDirectory(
    'index',
    Array.from(branches, ([digit, below]) => {
      const buckets = Map.groupBy(below, ({ place }) => place[1]!)
      const parts = Array.from(buckets, ([next, rows]): [string, Blob] => [
        next,
        makeDirectory(
          'bucket',
          rows.map(({ entry }) => entry),
        ),
      ])
      return [digit, makeDirectory('branch', parts)]
    }),
  )
}

const makeDirectory = (kind: BlobKind, entries: readonly PlacedRow['entry'][]): Blob =>
  makeBlob(
    kind,
    digests(entries),
    entries.map(([, blob]) => blob),
  )

function makeBlob(kind: BlobKind, value: unknown, children: readonly Blob[]): Blob {
  const text = canonicalJson(value)
  return { kind, digest: sha256(text), text, children }
}

const digests = (entries: readonly PlacedRow['entry'][]): Record<string, Digest> =>
  Object.fromEntries(entries.map(([name, blob]) => [name, blob.digest]))

/** What a part points at. Throws `SyntaxError` or `ZodError` when the text is no such part. */
export function blobChildren(kind: BlobKind, text: string): BlobRef[] {
  const below = (next: BlobKind, digests: Readonly<Record<string, Digest>>): BlobRef[] =>
    Object.values(digests).map(digest => ({ kind: next, digest }))

  switch (kind) {
    case 'root': {
      const { own, services } = StateRoot.parse(JSON.parse(text))
      return [...below('row', own), ...below('index', services === null ? {} : { services })]
    }
    case 'index':
      return below('branch', StateBranch.parse(JSON.parse(text)))
    case 'branch':
      return below('bucket', StateBranch.parse(JSON.parse(text)))
    case 'bucket':
      return below('row', StateBucket.parse(JSON.parse(text)))
    case 'row':
      return []
  }
}

/**
 * The state whose parts are all in `texts`, by digest. Throws `SyntaxError` or `ZodError` when a part is not
 * what it should be, for instance when a newer Ballast wrote a row of another shape.
 */
export function assembleState(root: Digest, texts: ReadonlyMap<Digest, string>): NodeState {
  const value = (digest: Digest): unknown => JSON.parse(texts.get(digest) ?? 'null')
  const { node, own, services } = StateRoot.parse(value(root))
  const buckets = [own]
  if (services !== null) {
    for (const branch of Object.values(StateBranch.parse(value(services)))) {
      for (const bucket of Object.values(StateBranch.parse(value(branch)))) {
        buckets.push(StateBucket.parse(value(bucket)))
      }
    }
  }
  const tables: Record<string, Record<string, unknown>> = emptyTables()
  for (const bucket of buckets) {
    for (const [path, digest] of Object.entries(bucket)) {
      const space = path.indexOf(' ')
      const driver = path.slice(0, space)
      tables[driver] ??= {}
      tables[driver][path.slice(space + 1)] = value(digest)
    }
  }
  return NodeState.parse({ version: NODE_STATE_VERSION, node, tables })
}

/** Every part of a tree, by digest. */
export function collectTexts(tree: Blob, texts = new Map<Digest, string>()): Map<Digest, string> {
  if (texts.has(tree.digest)) return texts
  texts.set(tree.digest, tree.text)
  for (const child of tree.children) collectTexts(child, texts)
  return texts
}
