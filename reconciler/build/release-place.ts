import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * Where a source file or folder, from the root, has its place in a release. The bundler puts calls of this
 * instead of `import.meta.url` and `import.meta.dirname`: bundles lie elsewhere than what they were made of.
 */
export function releasePlace(source: string): { path: string; url: string } {
  const path = join(root, source)
  return { path, url: pathToFileURL(path).href }
}

const root = findRoot(dirname(fileURLToPath(import.meta.url)))

/** The folder with the release's package.json. */
function findRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : findRoot(dirname(folder))
}
