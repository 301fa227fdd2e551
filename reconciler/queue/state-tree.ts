import { canonicalJson, sha256 } from '../../schemas/digest.ts'
import { DriverName, emptyTables, type NodeState } from '../../schemas/node-state.ts'
import { STATE_ROOT_VERSION, StateBranch, StateBucket, StateRoot } from '../../schemas/state-blob.ts'
import {
  applyTablesChange,
  findTablesChange,
  type PackedChange,
  type TablesChange,
} from '../../schemas/tables-change.ts'
import type { Digest } from '../../schemas/want.ts'
import { findDesiredChange } from '../desired/tables-change.ts'
import { type Unpacked, unpackChange } from './pack-change.ts'

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

/** Of an index or a branch by one hex digit, of a bucket by row path. */
export interface Directory extends Blob {
  readonly kind: 'index' | 'branch' | 'bucket'
  readonly entries: ReadonlyMap<string, Blob>
}

export interface StateTree extends Blob {
  readonly kind: 'root'
  /** Rows of the node's own, by row path. */
  readonly own: ReadonlyMap<string, Blob>
  /** The index; null: no services. */
  readonly services: Directory | null
}

/** A row in its place: the SHA-256 of its path says in which bucket. */
interface PlacedRow {
  readonly path: string
  readonly place: Digest
  /** Null: it is gone. */
  readonly row: Blob | null
}

/**
 * What was worked out before: of many nodes most have the same rows, push after push, and most of those are the
 * same objects. Rows and states must not be changed.
 */
export interface TreeMemo {
  readonly rows: WeakMap<object, PlacedRow>
  readonly trees: WeakMap<NodeState, StateTree>
  /** Of states that were compared with one before, what that showed. */
  readonly changes: WeakMap<NodeState, Unpacked>
  /** Indexes, by the one before and what changed in it: of many nodes the same. */
  readonly indexes: Map<string, Directory | null>
  /** Rows that were read, by digest. */
  readonly read: Map<Digest, object>
  /** Directories that were read, by digest: nodes of one process have most of them in common. */
  readonly directories: Map<Digest, Directory>
}

export const createTreeMemo = (): TreeMemo => ({
  rows: new WeakMap(),
  trees: new WeakMap(),
  changes: new WeakMap(),
  indexes: new Map(),
  read: new Map(),
  directories: new Map(),
})

/** A fleet of a few kinds of nodes, before and after a push; each holds on to all of its rows. */
const MEMO_INDEXES = 32
/** About what 1,000 services on 100 nodes of all different rows need. */
const MEMO_ROWS = 100_000
/** Those of a few revisions, or of a few kinds of nodes. */
const MEMO_DIRECTORIES = 2_000

function remember<Value>(known: Map<string, Value>, most: number, key: string, value: Value): Value {
  if (known.size >= most) known.clear()
  known.set(key, value)
  return value
}

/** What a want's `stateDigest` is. */
export const stateDigest = (state: NodeState): Digest => stateTree(state).digest

/**
 * The tree of a state. Equal states have equal trees, whatever the order of their rows. A `memo` given to one call makes
 * the next one with the same rows cheaper, and so does the state `before`, of this node or another: then only what
 * differs is worked out.
 */
export function stateTree(
  state: NodeState,
  memo: TreeMemo = createTreeMemo(),
  before: NodeState | null = null,
): StateTree {
  const known = memo.trees.get(state)
  if (known !== undefined) return known
  const base = before === null ? undefined : memo.trees.get(before)
  if (base === undefined) {
    return changeTree(
      emptyTree(state.node),
      { state, change: findTablesChange(emptyTables(), state.tables) },
      memo,
    )
  }
  const change = withoutSame(base, findDesiredChange(before!.tables, state.tables), memo)
  // Nobody is told what it has other than another node.
  if (before!.node !== state.node) return changeTree(base, { state, change }, memo)
  const rows = pathsOf(change)
  memo.changes.set(state, { change, rows, before: textsAt(base, rows) })
  return changeTree(base, { state, change }, memo)
}

/** Rows may be other objects, and say the same. */
function withoutSame(base: StateTree, change: TablesChange, memo: TreeMemo): TablesChange {
  const changes = DriverName.options.map(driver => {
    const differing = Object.entries<object>(change[driver].put).filter(([key, row]) => {
      const { path, place: at, row: blob } = placeRow(driver, key, row, memo)
      return rowAt(base, path, at)?.digest !== blob!.digest
    })
    return [driver, { put: Object.fromEntries(differing), removed: change[driver].removed }]
  })
  return Object.fromEntries(changes) as TablesChange
}

const pathsOf = (change: TablesChange): string[] =>
  DriverName.options.flatMap(driver => Object.keys(change[driver].put).map(key => `${driver} ${key}`))

const textsAt = (tree: StateTree, paths: readonly string[]): string =>
  paths.map(path => rowAt(tree, path, sha256(path))?.text ?? '').join('')

function rowAt({ own, services }: StateTree, path: string, at: Digest): Blob | undefined {
  if (!isService(path)) return own.get(path)
  const branch = services?.entries.get(at[0]!) as Directory | undefined
  const bucket = branch?.entries.get(at[1]!) as Directory | undefined
  return bucket?.entries.get(path)
}

/** The tree of what a change has made of a state. */
function changeTree(
  base: StateTree,
  { state, change }: { readonly state: NodeState; readonly change: TablesChange },
  memo: TreeMemo,
): StateTree {
  const own = new Map(base.own)
  const services: PlacedRow[] = []
  const changed: PlacedRow[] = DriverName.options.flatMap(driver => [
    ...Object.entries<object>(change[driver].put).map(([key, row]) => placeRow(driver, key, row, memo)),
    ...change[driver].removed.map(key => place(driver, key, null)),
  ])
  for (const placed of changed) {
    if (isService(placed.path)) services.push(placed)
    else if (placed.row === null) own.delete(placed.path)
    else own.set(placed.path, placed.row)
  }
  const tree = makeRoot(state.node, own, changeIndex(base.services, services, memo))
  memo.trees.set(state, tree)
  return tree
}

const isService = (path: string): boolean => path.startsWith('service/', path.indexOf(' ') + 1)

const emptyTree = (node: string): StateTree => makeRoot(node, new Map(), null)

function makeRoot(node: string, own: ReadonlyMap<string, Blob>, services: Directory | null): StateTree {
  const root: StateRoot = {
    version: STATE_ROOT_VERSION,
    node,
    own: digests(own),
    services: services?.digest ?? null,
  }
  const children = [...own.values(), ...(services === null ? [] : [services])]
  return { ...makeBlob('root', root, children), own, services }
}

function placeRow(driver: string, key: string, row: object, memo: TreeMemo): PlacedRow {
  const known = memo.rows.get(row)
  if (known !== undefined && isAt(known.path, driver, key)) return known
  const made = place(driver, key, makeBlob('row', row, []))
  memo.rows.set(row, made)
  return made
}

/** A row that was read: of those that are the same one object is kept. */
export function rememberRow(
  row: object,
  { path, digest, text }: { path: string; digest: Digest; text: string },
  memo: TreeMemo,
): object {
  memo.rows.set(row, { path, place: sha256(path), row: { kind: 'row', digest, text, children: [] } })
  return remember(memo.read, MEMO_ROWS, digest, row)
}

/** A part that was read before, by this or another node; undefined: it was not. */
export function findRead({ kind, digest }: BlobRef, memo: TreeMemo): Blob | undefined {
  if (kind !== 'row') return memo.directories.get(digest)
  const row = memo.read.get(digest)
  return row === undefined ? undefined : (memo.rows.get(row)?.row ?? undefined)
}

export const rememberDirectory = (directory: Directory, memo: TreeMemo): Directory =>
  remember(memo.directories, MEMO_DIRECTORIES, directory.digest, directory)

/** What a change has made of a state, its rows the objects that other states have. Null: it is not the state of that digest. */
export function changeState(
  have: NodeState,
  { packed, digest }: { readonly packed: PackedChange; readonly digest: Digest },
  memo: TreeMemo,
): NodeState | null {
  const base = stateTree(have, memo)
  const change = unpackChange(packed, textsAt(base, packed.rows))
  if (change === null) return null
  const shared = Object.fromEntries(
    DriverName.options.map(driver => {
      const put = Object.entries<object>(change[driver].put).map(([key, row]) => [
        key,
        shareRow(`${driver} ${key}`, row, memo),
      ])
      return [driver, { put: Object.fromEntries(put), removed: change[driver].removed }]
    }),
  ) as TablesChange
  const state: NodeState = { ...have, tables: applyTablesChange(have.tables, shared) }
  const tree = changeTree(base, { state, change: shared }, memo)
  return tree.digest === digest ? state : null
}

function shareRow(path: string, row: object, memo: TreeMemo): object {
  const { digest, text } = makeBlob('row', row, [])
  const known = memo.read.get(digest)
  if (known !== undefined && memo.rows.get(known)?.path === path) return known
  return rememberRow(row, { path, digest, text }, memo)
}

function place(driver: string, key: string, row: Blob | null): PlacedRow {
  const path = `${driver} ${key}`
  return { path, place: sha256(path), row }
}

const isAt = (path: string, driver: string, key: string): boolean =>
  path.length === driver.length + 1 + key.length && path.startsWith(driver) && path.endsWith(key)

function changeIndex(
  base: Directory | null,
  changed: readonly PlacedRow[],
  memo: TreeMemo,
): Directory | null {
  if (changed.length === 0) return base
  const lines = changed.map(({ path, row }) => `${path} ${row?.digest ?? ''}`).sort()
  const key = sha256(`${base?.digest ?? ''}\n${lines.join('\n')}`)
  const known = memo.indexes.get(key)
  if (known !== undefined) return known
  return remember(memo.indexes, MEMO_INDEXES, key, changeDirectory('index', base, changed))
}

const BELOW = { index: 'branch', branch: 'bucket' } as const

/** Null: nothing is left in it. */
function changeDirectory(
  kind: Directory['kind'],
  base: Directory | null,
  changed: readonly PlacedRow[],
): Directory | null {
  const entries = new Map(base?.entries)
  const put = (name: string, blob: Blob | null): unknown =>
    blob === null ? entries.delete(name) : entries.set(name, blob)
  if (kind === 'bucket') for (const { path, row } of changed) put(path, row)
  else {
    const depth = kind === 'index' ? 0 : 1
    for (const [digit, below] of Map.groupBy(changed, ({ place: at }) => at[depth]!)) {
      const child = (base?.entries.get(digit) ?? null) as Directory | null
      put(digit, changeDirectory(BELOW[kind], child, below))
    }
  }
  return entries.size === 0 ? null : makeDirectory(kind, entries)
}

const makeDirectory = (kind: Directory['kind'], entries: ReadonlyMap<string, Blob>): Directory => ({
  ...makeBlob(kind, digests(entries), [...entries.values()]),
  entries,
})

function makeBlob<Kind extends BlobKind>(
  kind: Kind,
  value: unknown,
  children: readonly Blob[],
): Blob & { readonly kind: Kind } {
  const text = canonicalJson(value)
  return { kind, digest: sha256(text), text, children }
}

const digests = (entries: ReadonlyMap<string, Blob>): Record<string, Digest> =>
  Object.fromEntries(Array.from(entries, ([name, { digest }]) => [name, digest]))

/** The name of a root's index; paths of rows have a space in them. */
const SERVICES = 'services'

/** What a part points at, by name. Throws `SyntaxError` or `ZodError` when the text is no such part. */
export function blobEntries(kind: BlobKind, text: string): [name: string, BlobRef][] {
  const below = (next: BlobKind, named: Readonly<Record<string, Digest>>): [string, BlobRef][] =>
    Object.entries(named).map(([name, digest]) => [name, { kind: next, digest }])

  switch (kind) {
    case 'root': {
      const { own, services } = StateRoot.parse(JSON.parse(text))
      return [...below('row', own), ...below('index', services === null ? {} : { [SERVICES]: services })]
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

export const blobChildren = (kind: BlobKind, text: string): BlobRef[] =>
  blobEntries(kind, text).map(([, ref]) => ref)

/** What stands at a name below a part. */
export const entryOf = (blob: Blob | undefined, name: string): Blob | undefined => {
  if (blob === undefined) return undefined
  if (blob.kind !== 'root') return (blob as Directory).entries?.get(name)
  const { own, services } = blob as StateTree
  return name === SERVICES ? (services ?? undefined) : own.get(name)
}

/** Every part of a tree, by digest. */
export function collectTexts(tree: Blob, texts = new Map<Digest, string>()): Map<Digest, string> {
  if (texts.has(tree.digest)) return texts
  texts.set(tree.digest, tree.text)
  for (const child of tree.children) collectTexts(child, texts)
  return texts
}
