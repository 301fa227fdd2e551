import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { Revision } from '../../schemas/want.ts'
import { createIgnore } from '../manifest/select-files.ts'
import { type Budget, type Content, type Contents, readContents } from './contents.ts'
import { eachFolder, emptyFolder, type Folder, readTrees, walkFolders } from './folders.ts'
import type { Objects, TreeEntry } from './git-objects.ts'
import { LIMITS, refuseCount, refuseMissingPath, refuseSymlink, refuseTotal } from './refusals.ts'

export interface SnapshotFile {
  /** Id of the blob: equal ids, equal texts. */
  readonly oid: string
  /** Without a byte order mark. */
  readonly text: string
}

/** The manifests of one revision, complete or refused. */
export interface Snapshot {
  readonly revision: Revision
  /**
   * Every `*.yaml` and `*.yml` below the path that `.ballastignore` at its top lets by, by its path from the
   * root of the repository, sorted. Empty when a limit was passed.
   */
  readonly files: ReadonlyMap<string, SnapshotFile>
  /** What cannot be read. Any of it means that the files are not all there is. */
  readonly diagnostics: readonly Diagnostic[]
  readonly stats: {
    /** Blobs read, and files whose text was known from the previous snapshot. */
    readonly read: number
    readonly reused: number
    readonly treesRead: number
  }
  /** For the next snapshot. */
  readonly kept: Kept | null
}

interface Kept {
  readonly path: string
  readonly ignoreText: string
  readonly top: Folder
  readonly contents: Contents
}

export interface SnapshotRequest {
  /** The folder that holds the manifests, from the root of the repository; '' or '.' for all of it. */
  readonly path: string
  /** Of any revision, with the same path; what has not changed since is not read again. */
  readonly previous?: Snapshot | undefined
}

const IGNORE_FILE = '.ballastignore'

/** `root` is the tree of the revision. */
export async function readSnapshot(
  objects: Objects,
  { revision, root }: { revision: Revision; root: string },
  request: SnapshotRequest,
): Promise<Snapshot> {
  const path = request.path
    .split('/')
    .filter(part => part !== '' && part !== '.')
    .join('/')
  const previous = request.previous?.kept?.path === path ? request.previous.kept : null
  const before: Contents = previous?.contents ?? new Map()
  const budget: Budget = { bytes: LIMITS.totalBytes }
  const refused = (diagnostic: Diagnostic): Snapshot => ({
    revision,
    files: new Map(),
    diagnostics: [diagnostic],
    stats: { read: 0, reused: 0, treesRead: 0 },
    kept: null,
  })

  const found = await findFolder(objects, { root, path }, budget)
  if (typeof found !== 'string') return refused(found)
  if (previous?.top.oid === found) return assemble(revision, previous, before, 0)

  const entries = (await readTrees(objects, [found], budget))?.get(found)
  if (entries === undefined) return refused(refuseTotal(path))
  const ignore = await readIgnoreFile(objects, entries, before, budget)
  const ignorePath = path === '' ? IGNORE_FILE : `${path}/${IGNORE_FILE}`
  if (ignore.kind === 'refused') return refused(ignore.refuse(ignorePath))

  const top = emptyFolder(found, path)
  const walked = await walkFolders({
    objects,
    top,
    entries,
    isIgnored: createIgnore(ignore.text),
    before: previous?.ignoreText === ignore.text ? previous.top : null,
    budget,
  })
  if (typeof walked !== 'number') return refused(walked)
  const folders = [...eachFolder(top)]
  const oids = folders.flatMap(({ files }) => files.map(({ oid }) => oid))
  if (folders.length + oids.length > LIMITS.entries) return refused(refuseCount(path))
  const contents = await readContents(objects, oids, before, budget)
  if (contents === null) return refused(refuseTotal(path))
  return assemble(revision, { path, ignoreText: ignore.text, top, contents }, before, walked + 1)
}

/** Id of the tree of a folder. */
async function findFolder(
  objects: Objects,
  { root, path }: { root: string; path: string },
  budget: Budget,
): Promise<string | Diagnostic> {
  let oid = root
  for (const name of path.split('/').filter(part => part !== '')) {
    const entries = (await readTrees(objects, [oid], budget))?.get(oid)
    if (entries === undefined) return refuseTotal(path)
    const entry = entries.find(candidate => candidate.name === name)
    if (entry?.kind === 'symlink') return refuseSymlink(path)
    if (entry?.kind !== 'folder') return refuseMissingPath(path)
    oid = entry.oid
  }
  return oid
}

async function readIgnoreFile(
  objects: Objects,
  entries: readonly TreeEntry[],
  before: Contents,
  budget: Budget,
): Promise<Content> {
  const entry = entries.find(({ name }) => name === IGNORE_FILE)
  if (entry === undefined) return { kind: 'text', text: '', size: 0 }
  if (entry.kind !== 'file') return { kind: 'refused', refuse: refuseSymlink }
  const contents = await readContents(objects, [entry.oid], before, budget)
  return contents?.get(entry.oid) ?? { kind: 'refused', refuse: refuseTotal }
}

function assemble(revision: Revision, kept: Kept, before: Contents, treesRead: number): Snapshot {
  const files: [string, SnapshotFile][] = []
  const diagnostics: Diagnostic[] = []
  let reused = 0
  for (const folder of eachFolder(kept.top)) {
    diagnostics.push(...folder.refusals)
    for (const { path, oid } of folder.files) {
      const content = kept.contents.get(oid)!
      if (content.kind === 'refused') diagnostics.push(content.refuse(path))
      else files.push([path, { oid, text: content.text }])
      if (before.has(oid)) reused++
    }
  }
  const read = [...kept.contents.keys()].filter(oid => !before.has(oid)).length
  return {
    revision,
    files: new Map(files.sort(byPath)),
    diagnostics: diagnostics.sort((a, b) => byPath([a.at.file], [b.at.file])),
    stats: { read, reused, treesRead },
    kept,
  }
}

const byPath = ([a]: readonly [string, ...unknown[]], [b]: readonly [string, ...unknown[]]): number =>
  a < b ? -1 : Number(a > b)
