import assert from 'node:assert/strict'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createRevert, type Reverted } from '../../reconciler/controller/revert.ts'
import type { ForgeKind } from '../../reconciler/forge/forge.ts'
import { openForge } from '../../reconciler/forge/open-forge.ts'
import { createLog } from '../../reconciler/log/log.ts'
import { createReverter } from '../../reconciler/repo/push-revert.ts'
import { openWritableRemote, type SourceOptions } from '../../reconciler/repo/source.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import { PROJECT, type StandIn, startStandIn } from '../forge/stand-in.ts'
import { makeRemote, push, until } from '../repo/follow.ts'
import { serveGit } from '../repo/git-server.ts'
import { temporaryFolder } from '../repo/make-repository.ts'
import { serveSsh } from '../repo/ssh-server.ts'
import { makeRollout } from '../rollout/simulate.ts'

const TOKEN = 'a token that may write'
const NO_SSH = { keyFile: undefined, knownHostsFile: undefined }
const NO_HTTP = {
  credentials: { kind: 'none' },
  caFile: undefined,
  proxy: undefined,
  proxyPasswordFile: undefined,
} as const

type Access = Pick<SourceOptions, 'repo' | 'http' | 'ssh'>
type Remote = ReturnType<typeof makeRemote>

/** With TLS, an authority of its own and a token from a file, as at a forge. */
async function overHttps(t: TestContext, { root, bare }: Remote): Promise<Access> {
  bare.git('config', 'http.receivepack', 'true')
  const server = await serveGit(t, root, { tls: true })
  server.manners.authorization = `Basic ${Buffer.from(`x-access-token:${TOKEN}`).toString('base64')}`
  const file = join(temporaryFolder(t), 'token')
  writeFileSync(file, TOKEN, { mode: 0o600 })
  const credentials = { kind: 'token', file, user: undefined } as const
  const http = { ...NO_HTTP, credentials, caFile: server.caFile ?? undefined }
  return { repo: `${server.url}/fleet.git`, http, ssh: NO_SSH }
}

async function overSsh(t: TestContext, { root }: Remote): Promise<Access> {
  const { url, keyFile, knownHostsFile } = await serveSsh(t)
  return { repo: `${url}${join(root, 'fleet.git')}`, http: NO_HTTP, ssh: { keyFile, knownHostsFile } }
}

/** A revision that failed on top of one that was good, and who takes it back. */
async function setUp(
  t: TestContext,
  reach: (t: TestContext, remote: Remote) => Promise<Access>,
  forge: { kind: ForgeKind; at: StandIn } | null,
) {
  const remote = makeRemote(t)
  const [base, target] = [push(remote.work, 'good'), push(remote.work, 'bad')]
  const access = await reach(t, remote)
  const open =
    forge &&
    openForge({ kind: forge.kind, url: forge.at.url, project: PROJECT, token: async () => forge.at.token })
  const revert = createRevert({
    push: createReverter({
      dir: temporaryFolder(t),
      openRemote: place => openWritableRemote(access, place),
      path: '',
      author: { name: 'Ballast', email: 'ballast@example.org' },
      signingKey: undefined,
    }),
    openPull: open?.openPull ?? null,
    log: createLog({ level: 'silent', format: 'json', destination: process.stderr }),
    onDone() {},
    retryMs: 20,
  })
  t.after(() => revert.stop())
  const failure = { gate: 'drops', message: 'packets dropped: 9.0 %', at: 1_700_000_000_000 }
  const failed = (onFailure: Rollout['onFailure']): Rollout =>
    makeRollout(3, { state: 'failed', base, target, failure, onFailure })
  const take = async (onFailure: Rollout['onFailure']): Promise<Reverted> => {
    let done: Reverted | null = null
    await until('it is taken back', () => {
      done ??= revert.next(failed(onFailure), 'main')
      return done !== null
    })
    return done!
  }
  return { ...remote, base, target, take, revert, failed }
}

for (const [how, reach] of [
  ['HTTPS with a token', overHttps],
  ['SSH with a deploy key', overSsh],
] as const) {
  test(`a revision that failed is taken back by a commit on the branch, over ${how}`, async t => {
    const { bare, base, target, take } = await setUp(t, reach, null)
    assert.deepEqual(await take('revert'), { branch: 'main', pull: null })
    assert.equal(bare.git('rev-parse', 'main^').trim(), target)
    assert.equal(bare.git('rev-parse', 'main^{tree}'), bare.git('rev-parse', `${base}^{tree}`))
  })
}

for (const kind of ['github', 'gitlab', 'gitea'] as const) {
  test(`for a review one pull request is opened, though the forge was out of order and a hook refused: ${kind}`, async t => {
    const at = await startStandIn(t, kind)
    const { bare, target, revert, failed, take } = await setUp(t, overHttps, { kind, at })
    const branch = `ballast/revert-${target.slice(0, 12)}`
    const hook = join(bare.dir, 'hooks/pre-receive')
    writeFileSync(hook, '#!/bin/sh\ntouch "$GIT_DIR/asked"\nexit 1\n')
    chmodSync(hook, 0o755)
    at.failWith = 503
    const tryIt = () => revert.next(failed('review'), 'main') === null
    await until('the hook refuses', () => tryIt() && existsSync(join(bare.dir, 'asked')))
    chmodSync(hook, 0o644)
    await until('the forge fails', () => tryIt() && at.requests.length > 0)
    assert.equal(bare.git('rev-parse', `${branch}^`).trim(), target)
    at.failWith = null
    const { branch: pushed, pull } = await take('review')
    assert.equal(pushed, branch)
    const [opened, ...others] = at.pulls
    assert.deepEqual(others, [])
    assert.deepEqual([opened!.from, opened!.into, opened!.title], [branch, 'main', 'Revert "bad"'])
    assert.match(opened!.body, /The gate "drops" has closed: packets dropped: 9\.0 %\./)
    assert.match(pull!, /\/1$/)
    assert.equal(bare.git('rev-parse', 'main').trim(), target, 'the branch itself is let be')
  })
}
