import { emptyTables, NODE_STATE_VERSION, type NodeState, NodeTables } from '../../schemas/node-state.ts'
import { StateBranch, StateBucket, StateRoot } from '../../schemas/state-blob.ts'
import { applyTablesChange } from '../../schemas/tables-change.ts'
import type { Digest } from '../../schemas/want.ts'
import {
  type Blob,
  createTreeMemo,
  type Directory,
  rememberDirectory,
  rememberRow,
  type StateTree,
  stateTree,
  type TreeMemo,
} from './state-tree.ts'

/** Rows that differ from a state's, by driver and key. */
interface Gathered {
  readonly put: Record<string, Record<string, object>>
  readonly removed: Record<string, string[]>
}

/** Parts by digest: texts that were fetched, and what was read before. */
export interface Parts {
  readonly texts: ReadonlyMap<Digest, string>
  readonly known?: ReadonlyMap<Digest, Blob>
}

/**
 * The state whose parts are all in `parts`, or in the tree of the state `have`, at the same place; in steps. Throws
 * `SyntaxError` or `ZodError` when a part is not what it should be, for instance when a newer Ballast wrote a row of
 * another shape.
 */
export function* stepAssembly(
  root: Digest,
  { texts, known = new Map() }: Parts,
  { memo = createTreeMemo(), have = null }: { memo?: TreeMemo; have?: NodeState | null } = {},
): Generator<void, NodeState> {
  const base = have === null ? undefined : stateTree(have, memo)
  if (base?.digest === root) return have!
  const gathered: Gathered = { put: { xdp: {}, ipvs: {}, bgp: {} }, removed: { xdp: [], ipvs: [], bgp: [] } }
  const text = texts.get(root) ?? 'null'
  const { node, own: ownRows, services: index } = StateRoot.parse(JSON.parse(text))
  const reading = { texts, known, memo, gathered }
  const own = readRows(base?.own, ownRows, reading)
  const services = index === null ? null : yield* readDirectory('index', index, base?.services, reading)
  if (index === null && base?.services != null) removeAll(base.services, gathered)
  const change = Object.fromEntries(
    Object.entries(gathered.put).map(([driver, put]) => [driver, { put, removed: gathered.removed[driver] }]),
  ) as Parameters<typeof applyTablesChange>[1]
  const tables = applyTablesChange(have?.tables ?? emptyTables(), change)
  const state: NodeState = { version: NODE_STATE_VERSION, node, tables }
  const children = [...own.values(), ...(services === null ? [] : [services])]
  const tree: StateTree = { kind: 'root', digest: root, text, children, own, services }
  memo.trees.set(state, tree)
  return state
}

interface Reading extends Required<Parts> {
  readonly memo: TreeMemo
  readonly gathered: Gathered
}

function* readDirectory(
  kind: Directory['kind'],
  digest: Digest,
  base: Directory | null | undefined,
  reading: Reading,
): Generator<void, Directory> {
  if (base?.digest === digest) return base
  const known = reading.known.get(digest) as Directory | undefined
  if (known !== undefined) return gatherOther(known, base, reading)
  const text = reading.texts.get(digest) ?? 'null'
  const entries =
    kind === 'bucket'
      ? readRows(base?.entries, StateBucket.parse(JSON.parse(text)), reading)
      : yield* readBelow(kind, text, base, reading)
  yield
  return rememberDirectory({ kind, digest, text, children: [...entries.values()], entries }, reading.memo)
}

/** Gathers what a directory that was read before has other than the one in its place. */
function gatherOther(
  directory: Directory,
  base: Directory | null | undefined,
  { memo, gathered }: Pick<Reading, 'memo' | 'gathered'>,
): Directory {
  for (const [name, blob] of base?.entries ?? []) {
    if (directory.entries.has(name)) continue
    if (blob.kind === 'row') noteRemoved(name, gathered)
    else removeAll(blob as Directory, gathered)
  }
  for (const [name, blob] of directory.entries) {
    const at = base?.entries.get(name)
    if (at?.digest === blob.digest) continue
    if (blob.kind === 'row') putRow(name, readRow(name, blob, memo), gathered)
    else gatherOther(blob as Directory, at as Directory | undefined, { memo, gathered })
  }
  return directory
}

function* readBelow(
  kind: 'index' | 'branch',
  text: string,
  base: Directory | null | undefined,
  reading: Reading,
): Generator<void, Map<string, Blob>> {
  const named = StateBranch.parse(JSON.parse(text))
  for (const [name, blob] of base?.entries ?? []) {
    if (named[name] === undefined) removeAll(blob as Directory, reading.gathered)
  }
  const below = kind === 'index' ? 'branch' : 'bucket'
  const entries = new Map<string, Blob>()
  for (const [name, digest] of Object.entries(named)) {
    const at = base?.entries.get(name) as Directory | undefined
    entries.set(name, yield* readDirectory(below, digest, at, reading))
  }
  return entries
}

function readRows(
  base: ReadonlyMap<string, Blob> | undefined,
  named: Readonly<Record<string, Digest>>,
  { texts, known, memo, gathered }: Reading,
): Map<string, Blob> {
  for (const path of base?.keys() ?? []) if (named[path] === undefined) noteRemoved(path, gathered)
  return new Map(
    Object.entries(named).map(([path, digest]) => {
      const at = base?.get(path)
      if (at?.digest === digest) return [path, at]
      const text = texts.get(digest) ?? known.get(digest)?.text ?? 'null'
      const row = readRow(path, { digest, text }, memo)
      putRow(path, row, gathered)
      return [path, memo.rows.get(row)!.row!]
    }),
  )
}

/** Each row is read and checked once; the same row is the same object in every state. */
export function readRow(
  path: string,
  { digest, text }: Pick<Blob, 'digest' | 'text'>,
  memo: TreeMemo,
): object {
  const known = memo.read.get(digest)
  if (known !== undefined && memo.rows.get(known)?.path === path) return known
  const { driver, key } = splitPath(path)
  const tables = NodeTables.parse({ ...emptyTables(), [driver]: { [key]: JSON.parse(text) } })
  const row: object = tables[driver as keyof NodeTables][key]!
  return rememberRow(row, { path, digest, text }, memo)
}

function putRow(path: string, row: object, { put }: Gathered): void {
  const { driver, key } = splitPath(path)
  const table = put[driver]
  if (table !== undefined) table[key] = row
}

function removeAll(directory: Directory, gathered: Gathered): void {
  for (const [name, blob] of directory.entries) {
    if (blob.kind === 'row') noteRemoved(name, gathered)
    else removeAll(blob as Directory, gathered)
  }
}

function noteRemoved(path: string, { removed }: Gathered): void {
  const { driver, key } = splitPath(path)
  removed[driver]?.push(key)
}

function splitPath(path: string): { driver: string; key: string } {
  const space = path.indexOf(' ')
  return { driver: path.slice(0, space), key: path.slice(space + 1) }
}
