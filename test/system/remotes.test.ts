import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { serveGit } from '../repo/git-server.ts'
import { createFleet, makeFiles, type TestFleet } from './fleet.ts'

const TOKEN = 'ghp_never-to-be-seen'
const web = { vip: 10, backends: [1, 2] }
const A = makeFiles({ services: { web } })
const wide = makeFiles({
  services: { web, api: { vip: 11, backends: [3] }, mail: { vip: 12, backends: [4] } },
})
const narrow = makeFiles({ services: { web } })

/** A fleet whose reconciler knows the repository over HTTP alone, with a token. */
async function startOverHttp(t: TestContext, fleet: TestFleet) {
  const server = await serveGit(t, fleet.dir)
  server.manners.authorization = `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString('base64')}`
  const tokenFile = join(fleet.dir, 'token')
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 })
  const repo = ['--repo', `${server.url}/fleet.git`, '--git-token-file', tokenFile]
  await fleet.startReconciler(...repo, '--poll-interval', '150')
  await fleet.startWorker('lb-1')
  await fleet.startWorker('lb-2')
  return { server, flags: [...repo, '--state-dir', fleet.stateDir] }
}

const isRefused =
  (revision: string, rule: string) =>
  ({ repository }: FleetStatus) =>
    repository?.rejected?.revision === revision &&
    repository.rejected.diagnostics.some(each => each.rule === rule)

test('a rewritten and a shrunken branch of a remote are refused until a person accepts that very revision (rules 1, 10)', async t => {
  const fleet = await createFleet(t)
  const good = await fleet.push(wide)
  const { flags } = await startOverHttp(t, fleet)
  await fleet.untilApplied(good)

  const shrunken = await fleet.push(narrow)
  const refused = await fleet.until('it is refused', isRefused(shrunken, 'tree-shrunken'))
  assert.equal(refused.repository?.accepted, good)
  assert.equal((await fleet.ballast('accept', 'nothing', ...flags)).exitCode, 1)
  const accepted = await fleet.ballast('accept', shrunken, ...flags)
  assert.deepEqual([accepted.exitCode, accepted.stderr], [0, ''])
  await fleet.untilApplied(shrunken)

  const rewritten = await fleet.push(wide, { force: true })
  const { repository } = await fleet.until('it is refused', isRefused(rewritten, 'not-fast-forward'))
  assert.match(repository!.rejected!.diagnostics[0]!.hint, /ballast accept/)
  await fleet.ballast('accept', rewritten, ...flags)
  await fleet.untilApplied(rewritten)
  const again = await fleet.push(narrow, { force: true })
  await fleet.until('another one is refused again', isRefused(again, 'not-fast-forward'))
  assert.doesNotMatch(fleet.log(), new RegExp(TOKEN))
})

test('a remote that is away and a branch that is deleted are said in the status, and change nothing (rule 1)', async t => {
  const fleet = await createFleet(t)
  const good = await fleet.push(A)
  const { server, flags } = await startOverHttp(t, fleet)
  await fleet.untilApplied(good)
  const holds = ({ repository, nodes }: FleetStatus) =>
    repository?.accepted === good && nodes.length === 2 && nodes.every(({ state }) => state === 'in-sync')

  server.manners.status = 503
  const away = await fleet.until('it is away', ({ repository }) => repository?.pull?.error !== null)
  assert.equal(away.repository?.pull?.error?.code, 'GIT_REMOTE_FAILED')
  assert.ok(away.repository?.pull?.lastAt)
  assert.ok(holds(away))
  server.manners.status = null

  await fleet.git('push', '-q', 'origin', 'HEAD:other')
  execFileSync('git', ['--git-dir', fleet.repo, 'update-ref', '-d', 'refs/heads/main'])
  const gone = await fleet.until('it is gone', ({ repository }) => repository?.problems.length === 1)
  assert.equal(gone.repository?.problems[0]?.rule, 'branch-missing')
  assert.equal(gone.inSync, false)
  assert.ok(holds(gone))
  const shown = await fleet.ballast('status', '--state-dir', fleet.stateDir)
  assert.match(shown.stdout, /branch-missing: Branch main does not exist/)
  const plan = await fleet.ballast('plan', ...flags, '--to', good, '--json')
  assert.equal(plan.exitCode, 0, plan.stderr)
  await fleet.git('push', '-q', 'origin', 'HEAD:main')
  await fleet.untilApplied(good)
})

test('an unsigned commit is refused by name, and a signed one in its place is taken (rule 1)', async t => {
  const fleet = await createFleet(t)
  const key = join(fleet.dir, 'key')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  const signers = join(fleet.dir, 'allowed_signers')
  writeFileSync(signers, `tester@example.org namespaces="git" ${readFileSync(`${key}.pub`, 'utf8')}`)
  const config = join(fleet.dir, 'ballast.yaml')
  writeFileSync(config, `verify:\n  - branch: main\n    signers: {ssh: ${JSON.stringify(signers)}}\n`)
  await fleet.git('config', 'gpg.format', 'ssh')
  await fleet.git('config', 'user.signingKey', key)
  await fleet.git('config', 'commit.gpgSign', 'true')
  const good = await fleet.push(A)
  await fleet.startReconciler('--config', config)
  await fleet.startWorker('lb-1')
  await fleet.startWorker('lb-2')
  await fleet.untilApplied(good)

  await fleet.git('config', 'commit.gpgSign', 'false')
  const unsigned = await fleet.push(wide)
  const { repository } = await fleet.until('it is refused', isRefused(unsigned, 'commit-unsigned'))
  assert.equal(repository?.accepted, good)
  const message = repository?.rejected?.diagnostics[0]?.message ?? ''
  assert.ok(
    message.includes(unsigned.slice(0, 12)) && message.includes('tester <tester@example.org>'),
    message,
  )
  const at = repository?.rejected?.at ?? 0
  await fleet.ballast('accept', unsigned, '--repo', fleet.repo, '--state-dir', fleet.stateDir)
  const kept = await fleet.until(
    'it is judged again, and acceptance is no signature',
    status => isRefused(unsigned, 'commit-unsigned')(status) && (status.repository?.rejected?.at ?? 0) > at,
  )
  assert.equal(kept.repository?.accepted, good)

  await fleet.git('commit', '-q', '--amend', '--no-edit', '-S')
  await fleet.git('push', '-q', '--force', 'origin', 'HEAD:main')
  const signed = await fleet.git('rev-parse', 'HEAD')
  await fleet.untilApplied(signed)

  rmSync(signers)
  await fleet.git('config', 'commit.gpgSign', 'true')
  await fleet.push(A)
  const blind = await fleet.until('it is said', status => status.repository?.problems.length === 1)
  assert.equal(blind.repository?.problems[0]?.rule, 'SECRET_UNREADABLE')
  assert.equal(blind.repository?.accepted, signed)
})
