import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { isManifestName } from '../manifest/select-files.ts'
import type { Budget } from './contents.ts'
import type { Objects, TreeEntry } from './git-objects.ts'
import {
  LIMITS,
  refuseCount,
  refuseDepth,
  refuseName,
  refuseSubmodule,
  refuseSymlink,
  refuseTotal,
} from './refusals.ts'

/** What Ballast sees of a folder in a revision: folders, manifests, and what it refuses. */
export interface Folder {
  /** Of its tree object; the same id is the same folder with all that is in it. */
  readonly oid: string
  /** From the root of the repository; '' is the root itself. */
  readonly path: string
  readonly folders: Folder[]
  readonly files: { readonly path: string; readonly oid: string }[]
  readonly refusals: Diagnostic[]
}

export interface WalkInput {
  readonly objects: Objects
  readonly top: Folder
  readonly entries: readonly TreeEntry[]
  /** Of a path that counts from the top; a folder's ends with `/`. */
  readonly isIgnored: (path: string) => boolean
  /** The same top as another revision had it, with the same `isIgnored`. */
  readonly before: Folder | null
  readonly budget: Budget
}

interface Visit {
  readonly folder: Folder
  readonly entries: readonly TreeEntry[]
  readonly before: Folder | undefined
}

/**
 * Fills the top folder, level by level; folders that are the same as before are taken as they are, unread.
 * Gives how many trees were read, or the limit that was passed.
 */
export async function walkFolders(input: WalkInput): Promise<number | Diagnostic> {
  const { objects, top, isIgnored, budget } = input
  let level: Visit[] = [{ folder: top, entries: input.entries, before: input.before ?? undefined }]
  let treesRead = 0
  let kept = 0
  const isLeftOut = ({ kind }: TreeEntry, path: string): boolean =>
    (kind !== 'folder' && isIgnored(path)) || (kind !== 'file' && isIgnored(`${path}/`))
  const fromTop = (path: string): string => (top.path === '' ? path : path.slice(top.path.length + 1))

  for (let depth = 1; ; depth++) {
    const unread: Omit<Visit, 'entries'>[] = []
    for (const { folder, entries, before } of level) {
      const known = new Map(before?.folders.map(child => [child.path, child]))
      for (const entry of entries) {
        const path = folder.path === '' ? entry.name : `${folder.path}/${entry.name}`
        if (!concerns(entry) || isLeftOut(entry, fromTop(path))) continue
        kept++
        const refusal = refusalOf(entry, path)
        const same = known.get(path)
        if (refusal !== null) folder.refusals.push(refusal)
        else if (entry.kind === 'file') folder.files.push({ path, oid: entry.oid })
        else if (same?.oid === entry.oid) folder.folders.push(same)
        else {
          const child = emptyFolder(entry.oid, path)
          folder.folders.push(child)
          unread.push({ folder: child, before: same })
        }
      }
      if (kept > LIMITS.entries) return refuseCount(top.path)
    }
    if (unread.length === 0) return treesRead
    if (depth > LIMITS.depth) return refuseDepth(unread[0]!.folder.path)
    const trees = await readTrees(
      objects,
      unread.map(({ folder }) => folder.oid),
      budget,
    )
    if (trees === null) return refuseTotal(top.path)
    treesRead += trees.size
    level = unread.map(visit => ({ ...visit, entries: trees.get(visit.folder.oid)! }))
  }
}

export const emptyFolder = (oid: string, path: string): Folder => ({
  oid,
  path,
  folders: [],
  files: [],
  refusals: [],
})

/** By id; null when it is more than the budget. */
export async function readTrees(
  objects: Objects,
  oids: readonly string[],
  budget: Budget,
): Promise<Map<string, TreeEntry[]> | null> {
  const distinct = [...new Set(oids)]
  for (const size of await objects.sizes(distinct)) budget.bytes -= size
  if (budget.bytes < 0) return null
  const trees = await objects.readTrees(distinct)
  return new Map(distinct.map((oid, index) => [oid, trees[index]!]))
}

export function* eachFolder(folder: Folder): Generator<Folder> {
  yield folder
  for (const child of folder.folders) yield* eachFolder(child)
}

/** Files that are no manifests are nobody's concern, whatever they are; links may stand for anything. */
const concerns = ({ kind, name }: TreeEntry): boolean => kind !== 'file' || isManifestName(name)

function refusalOf({ kind, name }: TreeEntry, path: string): Diagnostic | null {
  if (kind === 'symlink') return refuseSymlink(path)
  if (kind === 'submodule') return refuseSubmodule(path)
  return name === '' || name === '.' || name === '..' || /[/\ufffd\0]/.test(name) ? refuseName(path) : null
}
