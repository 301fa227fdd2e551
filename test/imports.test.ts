import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import { describe, test } from 'node:test'
import { init, parse } from 'es-module-lexer'

/** Each may import itself and those before it; of `manifest` and `ring`, neither the other. No I/O, clock, randomness or log. */
const PURE = [
  ['schemas'],
  ['reconciler/manifest', 'reconciler/ring'],
  ['reconciler/desired'],
  ['reconciler/effective'],
  ['reconciler/plan'],
  ['reconciler/rollout'],
  ['reconciler/drift'],
  ['reconciler/render'],
]
/** Touch the world. They may import what is pure and what is shared, never each other. */
const EDGES = ['repo', 'queue', 'drivers', 'http', 'lab', 'build', 'config', 'forge', 'alerts'].map(
  name => `reconciler/${name}`,
)
const SHARED = ['reconciler/process', 'reconciler/log', 'reconciler/metrics']
/** Wire edges to the pure core. Each may import those before it. */
const WIRING = ['reconciler/worker', 'reconciler/controller', 'reconciler/commands', 'reconciler/cli.ts']

const PURE_MODULES = ['node:crypto', 'node:util']
const PURE_PACKAGES = [
  'canonicalize',
  'cli-table3',
  'croner',
  'ignore',
  'ipaddr.js',
  'leven',
  'vega',
  'vega-lite',
  'yaml',
  'zod',
]
const IMPURE_CODE =
  /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\brandom(UUID|Bytes|Int)\b|\bprocess\.|\bconsole\.|\bset(Timeout|Interval|Immediate)\b|\bfetch\(|\bperformance\./g

/** Packages that reach outside, and the one place that imports each; koffi: one file for each C library. */
const OUTSIDE: Readonly<Record<string, readonly string[]>> = {
  '@gitbeaker/rest': ['reconciler/forge/'],
  '@grpc/grpc-js': ['reconciler/drivers/bgp/gobgp/'],
  '@grpc/proto-loader': ['reconciler/drivers/bgp/gobgp/'],
  '@hono/node-server': ['reconciler/http/'],
  '@octokit/core': ['reconciler/forge/'],
  bullmq: ['reconciler/queue/'],
  chokidar: ['reconciler/repo/'],
  commander: ['reconciler/commands/', 'reconciler/cli.ts'],
  esbuild: ['reconciler/build/'],
  execa: ['reconciler/process/'],
  'gitea-js': ['reconciler/forge/'],
  hono: ['reconciler/http/'],
  'https-proxy-agent': ['reconciler/repo/'],
  ioredis: ['reconciler/queue/'],
  'isomorphic-git': ['reconciler/repo/'],
  jose: ['reconciler/repo/'],
  koffi: ['reconciler/drivers/xdp/libbpf/native.ts', 'reconciler/process/file-lock.ts'],
  'p-retry': ['reconciler/alerts/', 'reconciler/forge/'],
  pino: ['reconciler/log/'],
  'prom-client': ['reconciler/metrics/'],
  'rate-limiter-flexible': ['reconciler/http/'],
}

/** Run by hand, imported by nothing. */
const SCRIPTS = ['schemas/generate.ts', 'reconciler/build']

/** The folder that rules name: `schemas`, `reconciler/plan`, `reconciler/cli.ts`. */
const placeOf = (file: string): string =>
  SCRIPTS.includes(file)
    ? file
    : file
        .split('/')
        .slice(0, file.startsWith('schemas/') ? 1 : 2)
        .join('/')

const before = (list: readonly string[], place: string): string[] => list.slice(0, list.indexOf(place) + 1)

/** null: no rule names the place. */
function mayImport(place: string): string[] | null {
  const pure = PURE.flat()
  const rank = PURE.findIndex(places => places.includes(place))
  if (rank >= 0) return [...PURE.slice(0, rank).flat(), place]
  if (SHARED.includes(place)) return ['schemas', ...SHARED]
  if (EDGES.includes(place)) return [...pure, ...SHARED, place]
  if (WIRING.includes(place)) return [...pure, ...SHARED, ...EDGES, ...before(WIRING, place)]
  return SCRIPTS.includes(place) ? [...pure, ...SHARED, place] : null
}

/** Types too: the lexer looks for what is an import, not at what is imported. */
function importsOf(source: string): string[] {
  const [imports] = parse(source)
  return imports.flatMap(found => ('specifier' in found && found.specifier ? [found.specifier] : []))
}

function faultOfImport(file: string, specifier: string): string | null {
  const place = placeOf(file)
  const isPure = PURE.flat().includes(place)
  if (specifier.startsWith('.')) {
    const imported = placeOf(posix.join(posix.dirname(file), specifier))
    return mayImport(place)?.includes(imported) ? null : `${place} may not import ${imported}`
  }
  if (specifier.startsWith('node:')) {
    return isPure && !PURE_MODULES.includes(specifier)
      ? `${place} is pure and may not import ${specifier}`
      : null
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  if (PURE_PACKAGES.includes(name)) return null
  const importers = OUTSIDE[name]
  if (importers === undefined)
    return `${name} is in no list of this test: is it pure, or where is it imported?`
  if (importers.some(importer => file.startsWith(importer))) return null
  return `${name} reaches outside and is imported in ${importers.join(' and ')} alone`
}

/** What breaks a rule, as `file: what`. Files by their path from the root. */
function findFaults(sources: Readonly<Record<string, string>>): string[] {
  return Object.entries(sources).flatMap(([file, source]) => {
    const place = placeOf(file)
    if (mayImport(place) === null) return [`${file}: no rule names ${place}`]
    const faults = importsOf(source).map(specifier => faultOfImport(file, specifier))
    const code = source.replaceAll(/^\s*(\*|\/\*|\/\/).*$/gm, '')
    const impure = PURE.flat().includes(place) ? [...code.matchAll(IMPURE_CODE)] : []
    return [
      ...faults.filter(fault => fault !== null),
      ...impure.map(([word]) => `${place} is pure and may not use ${word}`),
    ].map(fault => `${file}: ${fault}`)
  })
}

const root = resolve(import.meta.dirname, '..')

describe('import rules', async () => {
  await init

  test('all of the source keeps them', () => {
    const files = globSync(['schemas/**/*.ts', 'reconciler/**/*.ts'], { cwd: root })
    assert.ok(files.length > 20)
    const sources = Object.fromEntries(
      files.sort().map(file => [file, readFileSync(resolve(root, file), 'utf8')]),
    )
    assert.deepEqual(findFaults(sources), [])
  })

  const cases: [title: string, file: string, source: string, fault: string | null][] = [
    ['an earlier pure folder', 'reconciler/plan/a.ts', `import { x } from '../desired/x.ts'`, null],
    [
      'a later pure folder, for a type alone',
      'reconciler/desired/a.ts',
      `import type { X } from '../plan/x.ts'`,
      'reconciler/desired may not import reconciler/plan',
    ],
    [
      'an edge from a pure folder, by a re-export over lines',
      'reconciler/plan/a.ts',
      `export {\n  x,\n  type Y,\n} from '../queue/x.ts'`,
      'reconciler/plan may not import reconciler/queue',
    ],
    [
      'another edge, late',
      'reconciler/queue/a.ts',
      `export const load = () => import('../drivers/driver.ts')`,
      'reconciler/queue may not import reconciler/drivers',
    ],
    ['what is shared', 'reconciler/drivers/xdp/a.ts', `import { x } from '../../process/x.ts'`, null],
    [
      'a command',
      'reconciler/worker/a.ts',
      `import '../commands/x.ts'`,
      'reconciler/worker may not import reconciler/commands',
    ],
    [
      'a file system in a pure folder',
      'schemas/a.ts',
      `import fs from 'node:fs'`,
      'schemas is pure and may not import node:fs',
    ],
    [
      'an outside package elsewhere',
      'reconciler/repo/a.ts',
      `import { execa } from 'execa'`,
      'execa reaches outside and is imported in reconciler/process/ alone',
    ],
    [
      'a clock in a pure folder',
      'reconciler/ring/a.ts',
      `// Date.now in a comment\nexport const now = () => Date.now()`,
      'reconciler/ring is pure and may not use Date.now',
    ],
    ['a folder without a rule', 'reconciler/misc/a.ts', '', 'no rule names reconciler/misc'],
  ]
  for (const [title, file, source, fault] of cases) {
    test(`they ${fault === null ? 'allow' : 'refuse'} ${title}`, () => {
      assert.deepEqual(findFaults({ [file]: source }), fault === null ? [] : [`${file}: ${fault}`])
    })
  }
})
