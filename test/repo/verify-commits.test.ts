import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { openRepository } from '../../reconciler/repo/repository.ts'
import type { VerifyRule } from '../../schemas/settings.ts'
import { makeRepository, type TestRepository, temporaryFolder } from './make-repository.ts'

interface Signers {
  readonly work: TestRepository
  readonly rule: VerifyRule['signers']
  /** Commits a change of a file; `by` null: unsigned. */
  change(path: string, by: string | null): string
  readonly ours: string
  readonly strangers: string
}

function withSsh(t: TestContext): Signers {
  const work = makeRepository(t)
  const dir = temporaryFolder(t)
  const makeKey = (name: string): string => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(dir, name)])
    return join(dir, name)
  }
  const [ours, strangers, file] = [makeKey('ours'), makeKey('strangers'), join(dir, 'allowed_signers')]
  writeFileSync(file, `ada@example.org namespaces="git" ${readFileSync(`${ours}.pub`, 'utf8')}`)
  return { work, rule: { ssh: file }, ours, strangers, change: changer(work, 'ssh') }
}

function withGpg(t: TestContext): Signers {
  const work = makeRepository(t)
  const dir = temporaryFolder(t)
  chmodSync(dir, 0o700)
  const env = { PATH: process.env.PATH, GNUPGHOME: dir }
  t.after(() => execFileSync('gpgconf', ['--kill', 'all'], { env }))
  const gpg = (...args: string[]) =>
    execFileSync('gpg', ['--batch', '--quiet', ...args], { env, stdio: 'pipe' })
  for (const user of ['ours@example.org', 'strangers@example.org']) {
    gpg(
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      '--quick-gen-key',
      user,
      'ed25519',
      'sign',
      'never',
    )
  }
  const file = join(dir, 'keys.gpg')
  writeFileSync(file, gpg('--armor', '--export', 'ours@example.org'))
  const program = join(dir, 'gpg-here')
  writeFileSync(program, `#!/bin/sh\nGNUPGHOME=${dir} exec gpg "$@"\n`, { mode: 0o755 })
  work.git('config', 'gpg.program', program)
  const [ours, strangers] = ['ours@example.org', 'strangers@example.org']
  return { work, rule: { gpg: file }, ours, strangers, change: changer(work, 'openpgp') }
}

function changer(work: TestRepository, format: string): Signers['change'] {
  let count = 0
  return (path, by) => {
    work.write(path, `change: ${++count}\n`)
    work.git('add', '--all')
    const sign = by === null ? [] : ['-c', `gpg.format=${format}`, '-c', `user.signingKey=${by}`]
    work.git(
      ...sign,
      'commit',
      '--quiet',
      '--message',
      `change ${count}`,
      by === null ? '--no-gpg-sign' : '-S',
    )
    return work.git('rev-parse', 'HEAD')
  }
}

/** The same commit with another message: its signature does not hold any more. */
function forge(work: TestRepository, revision: string): string {
  const text = work.git('cat-file', 'commit', revision).replace(/\nchange \d+$/, '\nforged\n')
  const forged = work.gitWithInput(text, 'hash-object', '-t', 'commit', '-w', '--stdin')
  work.git('reset', '--quiet', '--hard', forged)
  return forged
}

async function check(
  { work, rule }: Signers,
  {
    base,
    branch = 'main',
    ...limits
  }: { base: string | null; branch?: string } & Omit<VerifyRule, 'signers' | 'branch'> & {
      onBranch?: string
    },
): Promise<string[]> {
  const repository = await openRepository({ dir: work.dir })
  const { onBranch, ...paths } = limits
  const rules = [{ ...paths, ...(onBranch && { branch: onBranch }), signers: rule }]
  const head = work.git('rev-parse', 'HEAD')
  const found = await repository.verify({ rules, branch, base, head })
  return found.map(
    each => `${each.rule} ${/Commit ([0-9a-f]+) by Ada <ada@example.org>/.exec(each.message)?.[1]}`,
  )
}

const short = (revision: string): string => revision.slice(0, 12)

for (const [name, make] of [
  ['SSH', withSsh],
  ['GPG', withGpg],
] as const) {
  suite(`signatures by ${name}`, () => {
    test('of those who may sign are good; unsigned, strange and forged ones are each named', async t => {
      const signers = make(t)
      const { work, change } = signers
      const base = change('a.yaml', null)
      change('a.yaml', signers.ours)
      change('b.yaml', signers.ours)
      assert.deepEqual(await check(signers, { base }), [])
      const unsigned = change('a.yaml', null)
      const strange = change('a.yaml', signers.strangers)
      const forged = forge(work, change('a.yaml', signers.ours))
      change('a.yaml', signers.ours)
      assert.deepEqual((await check(signers, { base })).sort(), [
        `commit-bad-signature ${short(forged)}`,
        `commit-unknown-signer ${short(strange)}`,
        `commit-unsigned ${short(unsigned)}`,
      ])
      assert.deepEqual(
        await check(signers, { base: null }),
        [],
        'without one before it the head alone counts',
      )
    })
  })
}

suite('which commits must be signed', () => {
  test('those that touch the paths, on the branches of the rule', async t => {
    const signers = withSsh(t)
    const { change } = signers
    const base = change('a.yaml', null)
    change('dev/a.yaml', null)
    const bad = change('prod/eu/a.yaml', null)
    assert.deepEqual(await check(signers, { base, paths: ['prod'] }), [`commit-unsigned ${short(bad)}`])
    assert.deepEqual(await check(signers, { base, paths: ['prod/**/a.yaml'] }), [
      `commit-unsigned ${short(bad)}`,
    ])
    assert.deepEqual(await check(signers, { base, paths: ['pro'] }), [])
    assert.deepEqual(await check(signers, { base, onBranch: 'release/*' }), [])
    assert.equal((await check(signers, { base, branch: 'release/1', onBranch: 'release/*' })).length, 2)
  })

  test('also a merge that brings an old state back without a change of its own', async t => {
    const signers = withSsh(t)
    const { work, change } = signers
    const old = change('prod/a.yaml', signers.ours)
    const base = change('prod/a.yaml', signers.ours)
    const tree = work.git('rev-parse', `${old}^{tree}`)
    const merge = work.git('commit-tree', tree, '-p', base, '-p', old, '-m', 'innocent')
    work.git('reset', '--quiet', '--hard', merge)
    assert.deepEqual(await check(signers, { base, paths: ['prod'] }), [`commit-unsigned ${short(merge)}`])
  })

  test('all of a branch that was merged, though the merge itself is signed', async t => {
    const signers = withSsh(t)
    const { work, change } = signers
    const base = change('a.yaml', signers.ours)
    work.git('checkout', '--quiet', '-b', 'side')
    const bad = change('b.yaml', null)
    work.git('checkout', '--quiet', 'main')
    change('a.yaml', signers.ours)
    work.git(
      '-c',
      'gpg.format=ssh',
      '-c',
      `user.signingKey=${signers.ours}`,
      'merge',
      '--quiet',
      '-S',
      '--no-ff',
      '-m',
      'm',
      'side',
    )
    assert.deepEqual(await check(signers, { base }), [`commit-unsigned ${short(bad)}`])
  })

  test('a signature of the other kind, and settings of the repository, make nobody trusted', async t => {
    const gpg = withGpg(t)
    const { work, change } = gpg
    const base = change('a.yaml', gpg.ours)
    const signed = change('a.yaml', gpg.ours)
    const other = `commit-unknown-signer ${short(signed)}`
    assert.deepEqual(await check({ ...gpg, rule: withSsh(t).rule }, { base }), [other])

    const ssh = withSsh(t)
    const first = ssh.change('a.yaml', ssh.ours)
    const strange = ssh.change('a.yaml', ssh.strangers)
    const everybody = join(temporaryFolder(t), 'everybody')
    writeFileSync(everybody, `* ${readFileSync(`${ssh.strangers}.pub`, 'utf8')}`)
    ssh.work.git('config', 'gpg.ssh.allowedSignersFile', everybody)
    ssh.work.git('config', 'gpg.ssh.program', '/bin/true')
    assert.deepEqual(await check(ssh, { base: first }), [`commit-unknown-signer ${short(strange)}`])
    assert.deepEqual(await check({ ...ssh, rule: gpg.rule }, { base: first }), [
      `commit-unknown-signer ${short(strange)}`,
    ])
    work.git('config', 'gpg.program', '/bin/false')
    assert.deepEqual(await check(gpg, { base }), [])
  })

  test('a file of signers that is missing, or is none, refuses everything by an error', async t => {
    const signers = withSsh(t)
    signers.change('a.yaml', signers.ours)
    await assert.rejects(check({ ...signers, rule: { ssh: '/nonexistent' } }, { base: null }), {
      code: 'SECRET_UNREADABLE',
    })
    const noKeys = join(temporaryFolder(t), 'keys')
    writeFileSync(noKeys, 'these are no keys\n')
    await assert.rejects(check({ ...signers, rule: { gpg: noKeys } }, { base: null }), {
      code: 'SECRET_UNREADABLE',
    })
  })
})
