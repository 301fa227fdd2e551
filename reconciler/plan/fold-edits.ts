import type { Edit } from '../../schemas/edit.ts'
import { DriverName, type NodeTables, type RowKey } from '../../schemas/node-state.ts'
import { diffNode } from './diff.ts'
import { digestRow } from './digest-row.ts'
import { createSplitter } from './split-tables.ts'

/** One edit, made on all of these nodes. */
export interface FoldedEdit {
  readonly driver: DriverName
  readonly edit: Edit<object>
  /** By name. */
  readonly nodes: readonly string[]
}

/** Nodes that go from the same shared rows to the same shared rows. */
export interface NodeClass {
  readonly before: NodeTables
  readonly after: NodeTables
  readonly nodes: string[]
  readonly edits: ReturnType<typeof diffNode>
}

export interface Fold {
  /** Joined when first asked for: by digests of the rows of all of them. */
  readonly edits: readonly FoldedEdit[]
  readonly classes: readonly NodeClass[]
  /** All nodes, before or after, by name. */
  readonly nodes: readonly string[]
}

/**
 * The edits that turn one fleet into another, each with the nodes that it is made on: what every node's own diff says,
 * no more and no less. Nodes with the same rows are compared once.
 */
export function foldEdits(
  before: ReadonlyMap<string, NodeTables>,
  after: ReadonlyMap<string, NodeTables>,
): Fold {
  const nodes = [...new Set([...before.keys(), ...after.keys()])].sort()
  const [splitBefore, splitAfter] = [createSplitter(before), createSplitter(after)]
  const classes = new Map<NodeTables, Map<NodeTables, NodeClass>>()
  const found: [edits: NodeClass['edits'], nodes: readonly string[]][] = []
  for (const node of nodes) {
    const [was, is] = [splitBefore(node), splitAfter(node)]
    const row = classes.get(was.shared) ?? new Map<NodeTables, NodeClass>()
    classes.set(was.shared, row)
    const known = row.get(is.shared)
    if (known !== undefined) known.nodes.push(node)
    else
      row.set(is.shared, {
        before: was.shared,
        after: is.shared,
        nodes: [node],
        edits: diffNode(is.shared, was.shared),
      })
    found.push([diffNode(is.own, was.own), [node]])
  }
  const all = [...classes.values()].flatMap(row => [...row.values()])
  for (const each of all) found.push([each.edits, each.nodes])
  let joined: readonly FoldedEdit[] | undefined
  return {
    get edits() {
      joined ??= joinEdits(found)
      return joined
    },
    classes: all,
    nodes,
  }
}

/** Joins equal edits of several nodes; lists of nodes that are equal become one list. */
function joinEdits(
  found: readonly (readonly [edits: NodeClass['edits'], nodes: readonly string[]])[],
): FoldedEdit[] {
  const groups = new Map<
    string,
    { readonly driver: DriverName; readonly edit: Edit<object>; lists: (readonly string[])[] }
  >()
  for (const [edits, nodes] of found)
    for (const driver of DriverName.options)
      for (const edit of edits[driver] as readonly Edit<object>[]) {
        const id = `${driver} ${edit.key} ${digestBefore(edit)} ${digestAfter(edit)}`
        const group = groups.get(id)
        if (group === undefined) groups.set(id, { driver, edit, lists: [nodes] })
        else group.lists.push(nodes)
      }
  const join = createJoiner()
  return Array.from(groups.values(), ({ driver, edit, lists }) => ({ driver, edit, nodes: join(lists) }))
}

/** Gives the sorted union of lists of nodes without one in common; the same lists give the same union. */
export function createJoiner(): (lists: readonly (readonly string[])[]) => readonly string[] {
  const ids = new Map<readonly string[], number>()
  const unions = new Map<string, readonly string[]>()
  return lists => {
    if (lists.length === 1) return lists[0]!
    const id = lists
      .map(list => {
        const known = ids.get(list) ?? ids.size
        ids.set(list, known)
        return known
      })
      .join()
    const union = unions.get(id) ?? [...new Set(lists.flat())].sort()
    unions.set(id, union)
    return union
  }
}

export const digestBefore = (edit: Edit<object>) => digestRow(edit.op === 'create' ? null : edit.before)
export const digestAfter = (edit: Edit<object>) => digestRow(edit.op === 'delete' ? null : edit.after)

export const isService = (key: RowKey): boolean => key.startsWith('service/')
