import { canonicalJson, sha256 } from '../../schemas/digest.ts'
import {
  type DriverName,
  emptyTables,
  NODE_STATE_VERSION,
  type NodeState,
  NodeTables,
} from '../../schemas/node-state.ts'
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
  /** Its own among all rows of a memo. */
  readonly id: number
}

/**
 * What was worked out before: of many nodes most have the same rows, push after push, and most of those are the
 * same objects. Rows must not be changed.
 */
export interface TreeMemo {
  rows: WeakMap<object, PlacedRow>
  /** Indexes by the ids of all rows below; the other directories by what is in them. */
  readonly indexes: Map<string, Blob>
  readonly directories: Map<string, Blob>
  /** Rows that were read, by digest. */
  readonly read: Map<Digest, object>
  rowCount: number
}

export const createTreeMemo = (): TreeMemo => ({
  rows: new WeakMap(),
  indexes: new Map(),
  directories: new Map(),
  read: new Map(),
  rowCount: 0,
})

/** A fleet of a few kinds of nodes, before and after a push; each holds on to all of its rows. */
const MEMO_INDEXES = 32
const MEMO_DIRECTORIES = 20_000
/** About what 1,000 services on 100 nodes of all different rows need. */
const MEMO_ROWS = 100_000

function remember<Value>(known: Map<string, Value>, most: number, key: string, value: Value): Value {
  if (known.size >= most) known.clear()
  known.set(key, value)
  return value
}

/** What a want's `stateDigest` is. */
export const stateDigest = (state: NodeState): Digest => stateTree(state).digest

/**
 * The root of a state's tree. Equal states have equal trees, whatever the order of their rows. A `memo`
 * given to one call makes the next one with the same rows cheaper.
 */
export function stateTree(state: NodeState, memo: TreeMemo = createTreeMemo()): Blob {
  const own: PlacedRow['entry'][] = []
  const placed: PlacedRow[] = []
  for (const [driver, table] of Object.entries(state.tables)) {
    for (const [key, row] of Object.entries<object>(table)) {
      const at = placeRow(driver, key, row, memo)
      if (key.startsWith('service/')) placed.push(at)
      else own.push(at.entry)
    }
  }
  const services = placed.length === 0 ? null : makeIndex(placed, memo)
  const root: StateRoot = {
    version: STATE_ROOT_VERSION,
    node: state.node,
    own: digests(own),
    services: services?.digest ?? null,
  }
  return makeBlob('root', root, [...own.map(([, row]) => row), ...(services === null ? [] : [services])])
}

function placeRow(driver: string, key: string, row: object, memo: TreeMemo): PlacedRow {
  const known = memo.rows.get(row)
  if (known !== undefined && isAt(known.entry[0], driver, key)) return known
  const path = `${driver} ${key}`
  const made: PlacedRow = {
    place: sha256(path),
    entry: [path, makeBlob('row', row, [])],
    id: memo.rowCount++,
  }
  memo.rows.set(row, made)
  return made
}

const isAt = (path: string, driver: string, key: string): boolean =>
  path.length === driver.length + 1 + key.length && path.startsWith(driver) && path.endsWith(key)

function makeIndex(placed: readonly PlacedRow[], memo: TreeMemo): Blob {
  const ids = placed.map(({ id }) => id).join()
  return memo.indexes.get(ids) ?? remember(memo.indexes, MEMO_INDEXES, ids, composeIndex(placed, memo))
}

function composeIndex(placed: readonly PlacedRow[], memo: TreeMemo): Blob {
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
          memo,
        ),
      ])
      return [digit, makeDirectory('branch', parts, memo)]
    }),
    memo,
  )
}

function makeDirectory(kind: BlobKind, entries: readonly PlacedRow['entry'][], memo: TreeMemo): Blob {
  const known = `${kind} ${entries.map(([name, { digest }]) => `${name} ${digest}`).join()}`
  return (
    memo.directories.get(known) ??
    remember(
      memo.directories,
      MEMO_DIRECTORIES,
      known,
      makeBlob(
        kind,
        digests(entries),
        entries.map(([, blob]) => blob),
      ),
    )
  )
}

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
export function assembleState(
  root: Digest,
  texts: ReadonlyMap<Digest, string>,
  memo: TreeMemo = createTreeMemo(),
): NodeState {
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
      const [driver, key] = [path.slice(0, space), path.slice(space + 1)]
      tables[driver] ??= {}
      tables[driver][key] = readRow({ driver, key, digest }, texts, memo)
    }
  }
  return { version: NODE_STATE_VERSION, node, tables: tables as NodeState['tables'] }
}

/** Each row is read and checked once; the same row is the same object in every state. */
function readRow(
  { driver, key, digest }: { driver: string; key: string; digest: Digest },
  texts: ReadonlyMap<Digest, string>,
  memo: TreeMemo,
): object {
  const known = memo.read.get(digest)
  if (known !== undefined && memo.rows.get(known)?.entry[0] === `${driver} ${key}`) return known
  const text = texts.get(digest) ?? 'null'
  const tables = NodeTables.parse({ ...emptyTables(), [driver]: { [key]: JSON.parse(text) } })
  const row: object = tables[driver as DriverName][key]!
  const path = `${driver} ${key}`
  const blob: Blob = { kind: 'row', digest, text, children: [] }
  memo.rows.set(row, { place: sha256(path), entry: [path, blob], id: memo.rowCount++ })
  return remember(memo.read, MEMO_ROWS, digest, row)
}

/** Every part of a tree, by digest. */
export function collectTexts(tree: Blob, texts = new Map<Digest, string>()): Map<Digest, string> {
  if (texts.has(tree.digest)) return texts
  texts.set(tree.digest, tree.text)
  for (const child of tree.children) collectTexts(child, texts)
  return texts
}
