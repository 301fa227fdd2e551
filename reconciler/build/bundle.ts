import { readFile } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { BallastError } from '../../schemas/ballast-error.ts'

export interface BundleOptions {
  /** The source tree, absolute. */
  readonly root: string
  readonly outDir: string
  /** Files that are started as programs or threads, from the root: `reconciler/cli.ts`. */
  readonly entryPoints: readonly string[]
  /** Packages that are left as they are. */
  readonly external: readonly string[]
}

/**
 * Bundles TypeScript into JavaScript of the same layout: `reconciler/cli.ts` becomes `reconciler/cli.js`, what
 * entry points share goes to `lib/`. Gives the folders of the packages that are in it, from the root.
 */
export async function bundle({ root, outDir, entryPoints, external }: BundleOptions): Promise<string[]> {
  const { metafile, warnings } = await build({
    absWorkingDir: root,
    entryPoints: [...entryPoints],
    outbase: root,
    outdir: outDir,
    chunkNames: 'lib/[name]-[hash]',
    bundle: true,
    splitting: true,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    // Stack traces of a release name the functions and are read by people.
    minify: false,
    legalComments: 'none',
    logLevel: 'error',
    external: [...external],
    // CommonJS packages ask for Node's modules with `require`, which an ES module does not have.
    banner: {
      js: "import { createRequire as createBundleRequire } from 'node:module'; const require = createBundleRequire(import.meta.url);",
    },
    plugins: [keepPlaces(root)],
  })
  if (warnings.length > 0) throw bundleFault(warnings.map(({ text }) => text).join('; '))
  return packagesOf(Object.keys(metafile.inputs))
}

const PLACE_FILE = 'reconciler/build/release-place.ts'

/**
 * Code finds files beside itself by `import.meta`, which names the bundle after bundling: it is given the place
 * that the source had, which the release keeps. Programs and threads that are named by file become `.js`.
 */
function keepPlaces(root: string): Plugin {
  return {
    name: 'keep-places',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const place = relative(root, path)
        const source = await readFile(path, 'utf8')
        if (place === PLACE_FILE || place.startsWith('node_modules'))
          return { contents: source, loader: 'ts' }
        const contents = source
          .replaceAll(".ts'", ".js'")
          .replaceAll('import.meta.dirname', `releasePlace('${dirname(place)}').path`)
          .replaceAll('import.meta.url', `releasePlace('${place}').url`)
        if (!contents.includes('releasePlace(')) return { contents, loader: 'ts' }
        const from = relative(dirname(place), PLACE_FILE)
        return { contents: `import { releasePlace } from './${from}'\n${contents}`, loader: 'ts' }
      })
    },
  }
}

function packagesOf(inputs: readonly string[]): string[] {
  const folders = inputs.map(input => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0])
  return [...new Set(folders.filter(folder => folder !== undefined))].sort()
}

const bundleFault = (message: string): BallastError =>
  new BallastError({
    code: 'BUNDLE_FAILED',
    message: `the bundle is not clean: ${message}`,
    hint: 'Mend what is named, or leave the package out of the bundle (EXTERNAL in reconciler/build/entry-points.ts).',
  })
