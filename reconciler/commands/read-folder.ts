import { readdir, readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { ManifestFile } from '../manifest/manifest.ts'
import { selectFiles } from '../manifest/select-files.ts'

/**
 * The manifests below a folder as they are on disk, committed or not; symlinks and `.git` are passed over.
 * Throws `FOLDER_UNREADABLE`.
 */
export async function readFolder(folder: string): Promise<ManifestFile[]> {
  try {
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
      chosen.map(async path => ({ path, text: await readFile(join(folder, path), 'utf8') })),
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
