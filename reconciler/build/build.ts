import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { BallastError } from '../../schemas/ballast-error.ts'
import { NODE_FLAGS, WORKER_FLAGS } from '../process/node-flags.ts'
import { bundle } from './bundle.ts'
import { EXTERNAL, PROGRAMS, THREADS } from './entry-points.ts'
import { pack } from './pack.ts'
import { collectLicences } from './third-party-licences.ts'

/**
 * `npm run build`: makes `dist/ballast-<version>-linux-<arch>.tar.gz` for this machine's architecture, and prints
 * its path. `npm run build -- DIR` writes it to another folder.
 *
 * The release brings its own Node: load balancers run distributions whose Node is older, and what runs there
 * should be what was tested. All it needs beside is a kernel, libc, libbpf, and for the reconciler git and Redis.
 */
const ROOT = resolve(import.meta.dirname, '../..')

/** What is copied as it is, from the root. */
const COPIED = [
  'LICENSE',
  'bpf/LICENSE',
  'schemas/json',
  'manifests',
  'deploy',
  'docs',
  'README.md',
  'CHANGELOG.md',
]
/** Out of a Debian package, by the set-up. */
const GOBGP_API = 'reconciler/drivers/bgp/gobgp/api'
const BPF_OBJECTS = ['lb', 'decap', 'pass'].map(name => `bpf/build/${name}.bpf.o`)

const LAUNCHER = `#!/bin/sh
# Ballast with the Node of this release. Links to this file work too.
here=$(dirname -- "$(readlink -f -- "$0")")/..
case "\${1-}" in worker) flags='${WORKER_FLAGS.join(' ')}' ;; *) flags='${NODE_FLAGS.join(' ')}' ;; esac
exec "$here/node/bin/node" $flags "$here/reconciler/cli.js" "$@"
`

const PackageFile = z.looseObject({ name: z.string(), version: z.string(), license: z.string() })

async function buildRelease(outDir: string): Promise<string> {
  const { name, version, license } = PackageFile.parse(
    JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')),
  )
  const release = `${name}-${version}-linux-${process.arch}`
  const stage = join(outDir, release)
  await rm(stage, { recursive: true, force: true })
  await mkdir(stage, { recursive: true })
  const put = async (place: string, text: string): Promise<void> => {
    await mkdir(dirname(join(stage, place)), { recursive: true })
    await writeFile(join(stage, place), text)
  }
  const bundled = await bundle({
    root: ROOT,
    outDir: stage,
    entryPoints: ['reconciler/cli.ts', ...PROGRAMS, ...THREADS],
    external: EXTERNAL,
  })
  const native = `node_modules/@koromix/koffi-linux-${process.arch}`
  const node = `node_modules/node-linux-${process.arch}`
  for (const place of [...COPIED, GOBGP_API, ...BPF_OBJECTS]) await copy(place, join(stage, place))
  for (const place of [
    'package.json',
    'index.js',
    'src/koffi/index.js',
    'src/koffi/src/static.js',
    'LICENSE.txt',
  ])
    await copy(`node_modules/koffi/${place}`, join(stage, 'node_modules/koffi', place))
  await copy(native, join(stage, native))
  await copy(`${node}/bin/node`, join(stage, 'node/bin/node'))
  await copy(`${node}/LICENSE`, join(stage, 'node/LICENSE'))
  await put('Procfile', (await readFile(join(ROOT, 'Procfile'), 'utf8')).replaceAll('cli.ts', 'cli.js'))
  await put('package.json', `${JSON.stringify({ name, version, license, type: 'module' }, null, 2)}\n`)
  await put('THIRD-PARTY-LICENSES', await collectLicences(ROOT, [...bundled, 'node_modules/koffi', native]))
  await put('bin/ballast', LAUNCHER)
  await chmod(join(stage, 'bin/ballast'), 0o755)
  const file = join(outDir, `${release}.tar.gz`)
  await pack(outDir, release, file)
  await rm(stage, { recursive: true })
  return file
}

async function copy(place: string, to: string): Promise<void> {
  try {
    await cp(join(ROOT, place), to, { recursive: true })
  } catch (cause) {
    throw new BallastError({
      code: 'RELEASE_PART_MISSING',
      message: `${place} cannot be copied into the release: ${(cause as Error).message}`,
      hint: 'Run `npm run build`, which installs the packages and builds the BPF objects first.',
      cause,
    })
  }
}

process.stdout.write(`${await buildRelease(resolve(process.argv[2] ?? join(ROOT, 'dist')))}\n`)
