import fs from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import git from 'isomorphic-git'
import type { GitPlace } from './git-command.ts'
import { entryKind, type ObjectReader } from './object-reader.ts'

/**
 * Reads without starting a process. It holds whole packs in memory, so it serves one snapshot and is then
 * dropped: no pack that git has since replaced is kept.
 */
export function createIsomorphicObjects({ commonDir }: GitPlace): ObjectReader {
  const at = { fs, gitdir: commonDir, cache: {} }
  return {
    readTrees: oids =>
      Promise.all(
        oids.map(async oid => {
          const { tree } = await git.readTree({ ...at, oid })
          // A tree that breaks off is read as if it were whole.
          if (tree.some(entry => entry.oid.length !== 40)) throw new SyntaxError(`malformed tree ${oid}`)
          return tree.map(entry => ({ kind: entryKind(entry.mode), name: entry.path, oid: entry.oid }))
        }),
      ),
    readBlobs: oids => Promise.all(oids.map(async oid => (await git.readBlob({ ...at, oid })).blob)),
  }
}

/** Bytes of all packs. */
export async function packBytes({ commonDir }: GitPlace): Promise<number> {
  const folder = join(commonDir, 'objects/pack')
  const names = await readdir(folder).catch(() => [])
  const sizes = names
    .filter(name => name.endsWith('.pack'))
    // One that git has just removed counts nothing.
    .map(name =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
