import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { deflateSync } from 'node:zlib'
import fc from 'fast-check'
import { createEvaluator } from '../../../reconciler/controller/evaluate.ts'
import { openRepository } from '../../../reconciler/repo/repository.ts'
import { BallastError } from '../../../schemas/ballast-error.ts'
import { Diagnostic } from '../../../schemas/diagnostic.ts'
import { makeFiles } from '../../system/fleet.ts'
import { fuzzOptions, printSummary } from '../run-bounded.ts'

/** Trees that no work tree would hold, as objects made by hand: evaluated or refused; memory stays bounded. */
const dir = mkdtempSync(join(tmpdir(), 'ballast-fuzz-git-'))
const env = {
  ...{ PATH: process.env.PATH, HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1' },
  ...{ GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a' },
}
const git = (...args: string[]): string =>
  execFileSync('git', args, { cwd: dir, env, stdio: 'pipe' }).toString().trim()

/** Writes a loose object as it is, whatever Git would say to it; a process each would take too long. */
function write(type: 'blob' | 'tree', content: string | Uint8Array): string {
  const body = Buffer.from(content)
  const object = Buffer.concat([Buffer.from(`${type} ${body.length}\0`), body])
  const oid = createHash('sha1').update(object).digest('hex')
  const path = join(dir, 'objects', oid.slice(0, 2), oid.slice(2))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, deflateSync(object))
  return oid
}

const blob = (content: string | Uint8Array): string => write('blob', content)

interface Entry {
  readonly mode: string
  readonly name: Uint8Array | string
  readonly oid: string
}

/** Any mode, any name, any order. */
function tree(entries: readonly Entry[]): string {
  const parts = entries.flatMap(({ mode, name, oid }) => [
    Buffer.from(`${mode} `),
    Buffer.from(name),
    Buffer.of(0),
    Buffer.from(oid, 'hex'),
  ])
  return write('tree', Buffer.concat(parts))
}
const folder = (name: string, oid: string): Entry => ({ mode: '40000', name, oid })
const file = (name: Uint8Array | string, oid: string, mode = '100644'): Entry => ({ mode, name, oid })

git('init', '--quiet', '--bare', '-b', 'main')
git('config', 'gc.auto', '0')
const repository = await openRepository({ dir })
const counts = { runs: 0, refused: 0 }

async function check(root: string): Promise<string[]> {
  const revision = git('commit-tree', root, '-m', 'x')
  counts.runs += 1
  try {
    const { fleet, diagnostics } = await createEvaluator(repository, '')(revision)
    for (const diagnostic of diagnostics) Diagnostic.parse(diagnostic)
    if (fleet === null) counts.refused += 1
    assert.equal(
      fleet === null,
      diagnostics.some(({ severity }) => severity === 'error'),
    )
    return diagnostics.map(({ rule }) => rule)
  } catch (error) {
    assert.ok(error instanceof BallastError, String(error))
    counts.refused += 1
    return [error.code]
  }
}

const expect = async (rule: string, root: string): Promise<void> => {
  const rules = await check(root)
  assert.ok(rules.includes(rule), `${rule} is not among ${[...new Set(rules)].join(', ')}`)
}

/** 100 MB that are 100 kB on disk. */
function bigBlob(): string {
  const megabyte = Buffer.alloc(1 << 20, '# aaaaaaaaaaaaaa\n')
  return blob(Buffer.concat(Array(100).fill(megabyte)))
}

function nested(levels: number, leaf: string): string {
  let below = tree([file('a.yaml', leaf)])
  for (let level = 0; level < levels; level++) below = tree([folder('d', below)])
  return below
}

/** Each level holds the one below ten times over: 10^8 files in nine objects. */
function bomb(leaf: string): string {
  const names = Array.from({ length: 10 }, (_, index) => `d${index}`)
  let below = tree(names.map(name => file(`${name}.yaml`, leaf)))
  for (let level = 0; level < 7; level++) below = tree(names.map(name => folder(name, below)))
  return below
}

try {
  const small = blob('# nothing\n')
  const texts = Object.values(makeFiles()).map(text => blob(text))
  const whole = tree(texts.map((oid, index) => file(`${index}.yaml`, oid)))
  assert.deepEqual(await check(whole), ['fleet-key'], 'a fleet is accepted')
  await expect('repo-file-size', tree([file('big.yaml', bigBlob())]))
  await expect('repo-too-deep', nested(10_000, small))
  await expect('repo-too-many-files', bomb(small))
  await expect('repo-symlink', tree([file('a.yaml', blob('/etc/passwd'), '120000')]))
  await expect('repo-symlink', tree([file('nodes', blob('../../..'), '120000')]))
  await expect('repo-submodule', tree([{ mode: '160000', name: 'sub', oid: '1'.repeat(40) }]))
  await expect('OBJECT_MISSING', tree([file('a.yaml', '1'.repeat(40))]))
  // Refused at the first of many answers: the rest stays in the pipe, and must not be waited for.
  const large = (index: number): string => blob(`# ${index}\n`.repeat(50_000))
  const rest = Array.from({ length: 40 }, (_, index) => file(`b${index}.yaml`, large(index)))
  await expect('OBJECT_UNREADABLE', tree([file('a.yaml', tree([])), ...rest]))
  await check(tree([folder('itself', small)]))
  await check(tree([file('a.yaml', tree([]))]))

  const names = fc.oneof(
    fc.constantFrom(
      '..',
      '.',
      '.git',
      'a/b.yaml',
      '/a.yaml',
      '../a.yaml',
      'a\nb.yaml',
      'con.yaml',
      '.ballastignore',
    ),
    fc.uint8Array({ minLength: 1, maxLength: 12 }).map(bytes => bytes.map(byte => byte || 1)),
    fc.string({ minLength: 1, maxLength: 12 }).map(text => `${text.replaceAll('\0', '')}.yaml`),
  )
  const entry = fc.record({
    mode: fc.constantFrom('100644', '100755', '120000', '160000', '40000', '100664', '0', '777777'),
    name: names,
    oid: fc.constantFrom(small, ...texts, '2'.repeat(40), nested(3, small)),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async entries => void (await check(tree(entries)))),
    fuzzOptions(60),
  )
  // Bytes that are no tree at all, and a compressed object cut short.
  for (const bytes of [
    '',
    '100644',
    '100644 a',
    `100644 a\0${'x'.repeat(19)}`,
    deflateSync('x'.repeat(99)).toString('latin1'),
  ])
    await check(write('tree', bytes))
} finally {
  rmSync(dir, { recursive: true })
}
printSummary(counts)
