import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, posix, relative, resolve, sep } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { ManifestFile } from '../manifest/manifest.ts'
import { selectFiles } from '../manifest/select-files.ts'

/**
 * The manifests below a folder as they are on disk, committed or not; symlinks and `.git` are passed over.
 * Paths count from the root of the repository that the folder is in, as the reconciler's do, or else from the
 * folder. Throws `FOLDER_UNREADABLE`.
 */
export async function readFolder(folder: string): Promise<ManifestFile[]> {
  try {
    const prefix = relative(findRoot(resolve(folder)) ?? resolve(folder), resolve(folder))
      .split(sep)
      .join('/')
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const paths = entries
      .filter(entry => entry.isFile())
      .map(entry => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .filter(path => !/(^|\/)(\.git|node_modules)\//.test(path))
    const ignoreText = paths.includes('.ballastignore')
      ? await readFile(join(folder, '.ballastignore'), 'utf8')
      : ''
    const chosen = selectFiles(paths, ignoreText).sort()
    return await Promise.all(
      chosen.map(async path => ({
        path: posix.join(prefix, path),
        text: await readFile(join(folder, path), 'utf8'),
      })),
    )
  } catch (cause) {
    throw new BallastError({
      code: 'FOLDER_UNREADABLE',
      message: `${folder} cannot be read: ${(cause as Error).message}`,
      hint: 'Name a folder that holds manifests.',
      cause,
    })
  }
}

/** The folder at or above this one that has a `.git`. */
function findRoot(folder: string): string | null {
  if (existsSync(join(folder, '.git'))) return folder
  return dirname(folder) === folder ? null : findRoot(dirname(folder))
}
