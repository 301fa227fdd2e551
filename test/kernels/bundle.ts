import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'

/** Where packages are found that a bundle leaves out, and what is no temporary place to another kernel. */
const PLACE = resolve(import.meta.dirname, '../../node_modules/.cache')

export interface Bundles extends AsyncDisposable {
  readonly files: readonly string[]
}

/**
 * Programs as one JavaScript file each: taking the types out of a hundred files takes an emulated processor longer than
 * all that they do. Every part still knows the place of its source.
 */
export async function bundle(files: readonly string[]): Promise<Bundles> {
  const directory = await mkdtemp(join(PLACE, 'bundle-'))
  await build({
    entryPoints: [...files],
    entryNames: '[name]',
    outdir: directory,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    outExtension: { '.js': '.mjs' },
    // It finds its native part by its own place.
    external: ['koffi'],
    banner: {
      js: "import { createRequire as createBundleRequire } from 'node:module'\nconst require = createBundleRequire(import.meta.url)",
    },
    plugins: [sourcePlaces],
    logLevel: 'error',
  })
  return {
    files: files.map(file => join(directory, basename(file).replace(/\.ts$/, '.mjs'))),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

const sourcePlaces: Plugin = {
  name: 'source-places',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      if (path.includes('/node_modules/')) return undefined
      const text = await readFile(path, 'utf8')
      return {
        loader: 'ts',
        contents: text
          .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
          .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)),
      }
    })
  },
}
