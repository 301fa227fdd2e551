import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { applyChanges, type DriftHistory, nextChanges } from '../../reconciler/drift/drift-history.ts'
import { composeCommit, readHistory } from '../../reconciler/drift/drift-message.ts'
import { openSigner } from '../../reconciler/repo/commit-signer.ts'
import {
  type DriftBranch,
  type DriftBranchOptions,
  openDriftBranch,
} from '../../reconciler/repo/drift-branch.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'
import { openWritableRemote } from '../../reconciler/repo/source.ts'
import type { BallastError } from '../../schemas/ballast-error.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { recordOf } from '../drift/drift-records.ts'
import { settingsRow } from '../plan/rows.ts'
import { makeRemote } from './follow.ts'
import { serveGit } from './git-server.ts'
import { type TestRepository, temporaryFolder, useRepository } from './make-repository.ts'
import { serveSsh } from './ssh-server.ts'

const BRANCH = 'ballast/drift'
const NO_HTTP = {
  credentials: { kind: 'none' },
  caFile: undefined,
  proxy: undefined,
  proxyPasswordFile: undefined,
} as const

/** A remote repository, and branches of drift that are pushed to it. */
async function setUp(t: TestContext) {
  const { root, bare, work } = makeRemote(t)
  bare.git('config', 'http.receivepack', 'true')
  work.write('fleet.yaml', 'kind: Fleet\n')
  const policy = work.commit('the fleet')
  work.git('push', '--quiet', 'origin', 'main')
  const server = await serveGit(t, root)
  const open = async (options: Partial<DriftBranchOptions> = {}, repo = `${server.url}/fleet.git`) => {
    const ssh = { keyFile: undefined, knownHostsFile: undefined }
    const branch = await openDriftBranch({
      dir: temporaryFolder(t),
      branch: BRANCH,
      openRemote: place => openWritableRemote({ repo, http: NO_HTTP, ssh }, place),
      author: { name: 'Ballast', email: 'ballast@example.org' },
      signingKey: undefined,
      ...options,
    })
    t.after(() => branch.close())
    return branch
  }
  return { root, bare, work, server, policy, open }
}

/** What a reconciler commits when nodes report these, one after the other. */
async function commitAll(branch: DriftBranch, records: readonly DriftRecord[], epoch = 1): Promise<void> {
  let history: DriftHistory = readHistory(await branch.read())
  for (const record of records) {
    const now = (record.healedAt ?? record.since) + 5000
    const { changes } = nextChanges({
      history,
      records: [record],
      isKnown: () => false,
      now,
      commitAfter: 5000,
    })
    await branch.commit(composeCommit(changes, { suffix: '[skip ci]', epoch, now }))
    history = applyChanges(history, changes)
  }
}

const subjects = (bare: TestRepository): string[] =>
  bare.git('log', '--reverse', '--format=%s', BRANCH).split('\n')
const withoutEffect = (subject: string): string => subject.replace(/ \(.*/, '')
const filesOf = (bare: TestRepository): string[] =>
  bare.git('ls-tree', '-r', '--name-only', BRANCH).split('\n').filter(Boolean)

const NO_SETTINGS = {
  key: 'settings',
  kind: 'missing',
  service: null,
  desired: settingsRow(),
  observed: null,
  effect: { share: 1, text: 'all flows of the node' },
} as const
const settings = (since: number, healedAt: number | null = null) =>
  recordOf({ ...NO_SETTINGS, since, healedAt, ...(healedAt !== null && { healedBy: 'repair' }) })
const web = (since: number, healedAt: number | null = null) =>
  recordOf({ since, healedAt, ...(healedAt !== null && { healedBy: 'repair' }) })
const code = (expected: string) => (error: Error & { code?: string }) => error.code === expected

test('the log of the branch is the timeline, and its tree what is open', async t => {
  const { bare, open, policy } = await setUp(t)
  const branch = await open()
  await commitAll(branch, [web(1_000), settings(10_000), web(1_000, 21_000)])
  assert.equal(await branch.waiting(), 3)
  assert.equal(await branch.push(1), 'pushed')
  assert.equal(await branch.waiting(), 0)
  assert.deepEqual(subjects(bare), [
    'drift: lb-2 lost backend 10.0.1.13 of web (31% of its flows) [skip ci]',
    'drift: lb-2 lost settings (all flows of the node) [skip ci]',
    'drift healed: lb-2 lost backend 10.0.1.13 of web (31% of its flows), repaired after 20 s [skip ci]',
  ])
  assert.deepEqual(filesOf(bare), ['drift/lb-2/xdp/settings.yaml'])
  assert.equal(bare.git('log', '-1', '--format=%an <%ae> %ct', BRANCH), 'Ballast <ballast@example.org> 26')
  assert.equal(bare.git('log', '-1', '--format=%(trailers:key=Ballast-Epoch,valueonly)', BRANCH).trim(), '1')
  assert.equal(bare.git('rev-parse', 'main'), policy)
})

test('a server that is down for a while gets all of it in order, also from a process that is started anew', async t => {
  const { bare, server, open } = await setUp(t)
  const dir = temporaryFolder(t)
  const first = await open({ dir })
  await commitAll(first, [web(1_000)])
  await first.push(1)
  await server.stop()
  await commitAll(first, [settings(30_000), web(1_000, 40_000)])
  await assert.rejects(first.push(1), code('GIT_REMOTE_UNREACHABLE'))
  const second = await open({ dir })
  await assert.rejects(second.fetch(), code('GIT_REMOTE_UNREACHABLE'))
  await commitAll(second, [settings(30_000, 50_000)])
  await server.start()
  assert.equal(await second.push(1), 'pushed')
  assert.deepEqual(subjects(bare).map(withoutEffect), [
    'drift: lb-2 lost backend 10.0.1.13 of web',
    'drift: lb-2 lost settings',
    'drift healed: lb-2 lost backend 10.0.1.13 of web',
    'drift healed: lb-2 lost settings',
  ])
  assert.deepEqual(filesOf(bare), [])
})

test('a branch that somebody moved on is built on, and what they wrote stays', async t => {
  const { bare, work, open } = await setUp(t)
  const branch = await open()
  await commitAll(branch, [web(1_000)])
  await branch.push(1)
  work.git('fetch', '--quiet', 'origin', BRANCH)
  work.git('checkout', '--quiet', '-B', 'notes', 'FETCH_HEAD')
  work.write('README.md', 'What this branch is.\n')
  const theirs = work.commit('say what this is')
  work.git('push', '--quiet', 'origin', `HEAD:${BRANCH}`)

  await commitAll(branch, [settings(30_000), web(1_000, 40_000)])
  assert.equal(await branch.push(1), 'rebuilt')
  assert.equal(bare.git('rev-parse', `${BRANCH}~2`), theirs)
  assert.deepEqual(filesOf(bare), ['README.md', 'drift/lb-2/xdp/settings.yaml'])
  assert.deepEqual(
    subjects(bare).map(subject => subject.split(':')[0]),
    ['drift', 'say what this is', 'drift', 'drift healed'],
  )
  assert.equal(await branch.push(1), 'nothing')
})

test('a push that the server rejects is kept until it is taken, and nothing is forced', async t => {
  const { bare, open } = await setUp(t)
  const hook = join(bare.dir, 'hooks/pre-receive')
  writeFileSync(hook, '#!/bin/sh\necho "not on a Sunday" >&2\nexit 1\n')
  chmodSync(hook, 0o755)
  const branch = await open()
  await commitAll(branch, [web(1_000)])
  await assert.rejects(branch.push(1), (error: Error) =>
    /pre-receive hook declined|not on a Sunday/.test(error.message),
  )
  assert.throws(() => bare.git('rev-parse', '--verify', '--quiet', BRANCH))
  await commitAll(branch, [web(1_000, 20_000)])
  writeFileSync(hook, '#!/bin/sh\nexit 0\n')
  assert.equal(await branch.push(1), 'pushed')
  assert.equal(subjects(bare).length, 2)
})

test('of two that lead one after the other the earlier writes no more, and nothing is told twice', async t => {
  const { bare, open } = await setUp(t)
  const [early, late] = [await open(), await open()]
  await commitAll(early, [web(1_000)], 1)
  await early.push(1)
  await commitAll(early, [settings(30_000)], 1)
  await late.fetch()
  await commitAll(late, [settings(30_000)], 2)
  assert.equal(await late.push(2), 'pushed')
  await assert.rejects(early.push(1), code('NOT_LEADING'))
  assert.equal(subjects(bare).length, 2)
  // It leads again: what it kept has been told by the other meanwhile.
  assert.equal(await early.push(3), 'rebuilt')
  assert.equal(subjects(bare).length, 2)
})

test('what waits is built on a branch that was there before the first fetch', async t => {
  const { bare, open } = await setUp(t)
  const [first, second] = [await open(), await open()]
  await commitAll(first, [web(1_000)])
  await first.push(1)
  await commitAll(second, [settings(2_000)])
  assert.equal(await second.push(1), 'rebuilt')
  assert.deepEqual(filesOf(bare).length, 2)
})

for (const kind of ['ssh', 'gpg'] as const) {
  test(`commits are signed with a key of ${kind}, also those that are built anew`, async t => {
    const { bare, open } = await setUp(t)
    const dir = temporaryFolder(t)
    const { signingKey, signers } = makeKeys(kind, dir)
    const [other, branch] = [await open(), await open({ signingKey })]
    await commitAll(branch, [settings(2_000)])
    await commitAll(other, [web(1_000)])
    await other.push(1)
    await branch.push(1)
    const repository = await openRepository({ dir: bare.dir })
    const [base, head] = [await repository.resolve(`${BRANCH}~1`), await repository.resolve(BRANCH)]
    const found = await repository.verify({ rules: [{ signers }], branch: BRANCH, base, head: head! })
    assert.deepEqual(found, [])
    const unsigned = await repository.verify({
      rules: [{ signers }],
      branch: BRANCH,
      base: null,
      head: base!,
    })
    assert.equal(unsigned[0]?.rule, 'commit-unsigned')
  })
}

function makeKeys(kind: 'ssh' | 'gpg', dir: string) {
  if (kind === 'ssh') {
    const key = join(dir, 'key')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
    writeFileSync(join(dir, 'allowed'), `ballast@example.org ${readFileSync(`${key}.pub`, 'utf8')}`)
    return { signingKey: { ssh: key }, signers: { ssh: join(dir, 'allowed') } }
  }
  const { secretKey, publicKey } = makeGpgKey(dir, '')
  writeFileSync(join(dir, 'secret'), secretKey)
  writeFileSync(join(dir, 'public'), publicKey)
  return { signingKey: { gpg: join(dir, 'secret') }, signers: { gpg: join(dir, 'public') } }
}

/** Its agent has ended when this returns: it would go on writing where the folder is removed. */
function makeGpgKey(home: string, passphrase: string): { secretKey: Buffer; publicKey: Buffer } {
  mkdirSync(home, { recursive: true })
  chmodSync(home, 0o700)
  const env = { ...process.env, GNUPGHOME: home }
  const options = ['--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', passphrase]
  const gpg = (...args: string[]) => execFileSync('gpg', [...options, ...args], { env })
  try {
    gpg('--quick-gen-key', 'Ballast <ballast@example.org>', 'ed25519', 'sign')
    return {
      secretKey: gpg('--export-secret-keys', '--armor'),
      publicKey: gpg('--export', '--armor'),
    }
  } finally {
    execFileSync('gpgconf', ['--kill', 'all'], { env })
  }
}

test('a key that cannot sign is said to be one, before git is asked', async t => {
  const dir = temporaryFolder(t)
  const locked = join(dir, 'locked')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', locked])
  const junk = join(dir, 'junk')
  writeFileSync(junk, 'no key\n', { mode: 0o600 })
  const exposed = join(dir, 'exposed')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', exposed])
  chmodSync(exposed, 0o644)
  const lockedGpg = join(dir, 'locked.gpg')
  writeFileSync(lockedGpg, makeGpgKey(join(dir, 'gpg'), 'secret').secretKey)
  for (const key of [{ ssh: locked }, { ssh: junk }, { ssh: exposed }, { gpg: lockedGpg }, { gpg: junk }]) {
    const [file] = Object.values(key)
    await assert.rejects(openSigner(key), ({ code, message }: BallastError) => {
      assert.equal(code, 'SECRET_UNREADABLE', message)
      assert.ok(message.startsWith(`${file} cannot be used: `), message)
      return true
    })
  }
})

test('drift is pushed over SSH', async t => {
  const { root, bare, open } = await setUp(t)
  const server = await serveSsh(t)
  const ssh = { keyFile: server.keyFile, knownHostsFile: server.knownHostsFile }
  const repo = `${server.url}${join(root, 'fleet.git')}`
  const branch = await open({ openRemote: place => openWritableRemote({ repo, http: NO_HTTP, ssh }, place) })
  await commitAll(branch, [web(1_000)])
  await branch.push(1)
  const other = await open()
  await other.fetch()
  await commitAll(other, [web(1_000, 8_000)])
  await other.push(1)
  await commitAll(branch, [settings(20_000)])
  assert.equal(await branch.push(1), 'rebuilt')
  assert.equal(subjects(bare).length, 3)
})

test('drift is pushed to a repository on this machine, by its hooks', async t => {
  const { bare, open } = await setUp(t)
  writeFileSync(join(bare.dir, 'hooks/post-receive'), '#!/bin/sh\ncat > "$GIT_DIR/told"\n')
  chmodSync(join(bare.dir, 'hooks/post-receive'), 0o755)
  const branch = await open({}, bare.dir)
  await commitAll(branch, [web(1_000)])
  assert.equal(await branch.push(1), 'pushed')
  assert.match(readFileSync(join(bare.dir, 'told'), 'utf8'), /refs\/heads\/ballast\/drift/)
  useRepository(bare.dir).git('update-ref', '-d', `refs/heads/${BRANCH}`)
  await commitAll(branch, [web(1_000, 9_000)])
  assert.equal(await branch.push(1), 'pushed')
  assert.equal(subjects(bare).length, 2)
})
