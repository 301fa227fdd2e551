import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { FleetStatus } from '../../schemas/fleet-status.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import { readEvents } from '../http/read-events.ts'
import { sendStorm } from '../http/send-storm.ts'
import { github, sha256 } from '../http/sign.ts'
import { serveGit } from '../repo/git-server.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const SECRET = 'a secret of the webhooks'

interface Served {
  readonly fleet: TestFleet
  readonly url: string
  get(path: string, token?: string): Promise<Response>
  webhook(body?: string): Promise<Response>
}

async function startServing(t: TestContext, ...flags: string[]): Promise<Served> {
  const fleet = await createFleet(t)
  const [secrets, tokens] = [join(fleet.dir, 'webhook.secret'), join(fleet.dir, 'tokens.yaml')]
  await writeFile(secrets, `${SECRET}\n`, { mode: 0o600 })
  const entries = ['read', 'operate'].map(
    role => `  - { name: ${role}er, role: ${role}, sha256: ${sha256(role)} }`,
  )
  await writeFile(tokens, `tokens:\n${entries.join('\n')}\n`, { mode: 0o600 })
  const files = ['--webhook-secret-file', secrets, '--api-tokens-file', tokens]
  await fleet.startReconciler('--listen', '127.0.0.1:0', ...files, ...flags)
  const url = await addressOf(fleet)
  return {
    fleet,
    url,
    get: (path, token = 'read') => fetch(url + path, { headers: { authorization: `Bearer ${token}` } }),
    webhook: body => {
      const delivery = github(SECRET, body)
      return fetch(`${url}/webhook/github`, { method: 'POST', ...delivery })
    },
  }
}

/** Of the process that said it last. */
async function addressOf(fleet: TestFleet, before = 0): Promise<string> {
  const find = () =>
    [
      ...fleet
        .log()
        .slice(before)
        .matchAll(/answering HTTP.*?(127\.0\.0\.1:\d+)/g),
    ].at(-1)?.[1]
  await waitFor('HTTP is answered', async () => find() !== undefined)
  return `http://${find()}`
}

test('a storm of a thousand webhooks costs one fetch', async t => {
  const served = await createFleet(t)
  const git = await serveGit(t, served.dir)
  await served.push(makeFiles())
  const { fleet, url } = await startServing(t, '--repo', `${git.url}/fleet.git`, '--poll-interval', '3600000')
  await fleet.until('the remote is followed', ({ repository }) => repository?.accepted != null)
  const packs = git.fetches()
  const looks = () => git.requests.filter(request => request.startsWith('GET')).length
  const before = looks()
  const pushed = await served.push(makeFiles({ services: { web: { vip: 10, backends: [1, 2, 3] } } }))
  const start = performance.now()
  const storm = Array.from({ length: 1000 }, () => github(SECRET))
  const answers = await sendStorm(`${url}/webhook/github`, storm)
  const seconds = (performance.now() - start) / 1000
  assert.equal(answers.length, 1000)
  assert.deepEqual(new Set(answers), new Set([202]))
  await fleet.until('the push is accepted', ({ repository }) => repository?.accepted === pushed)
  await waitFor('the look after the storm', async () => looks() > before)
  await delay(1_500)
  assert.equal(git.fetches() - packs, 1)
  // On a machine so busy that the storm has lulls of a second, each of these is the end of one.
  assert.ok(looks() - before <= 4 + 2 * seconds, `${looks() - before} looks in ${seconds} s`)
})

test('a webhook that reaches a reconciler that does not lead reaches the one that does', async t => {
  const leading = await createFleet(t)
  const git = await serveGit(t, leading.dir)
  await leading.push(makeFiles())
  const remote = ['--repo', `${git.url}/fleet.git`, '--poll-interval', '3600000']
  await leading.startReconciler(...remote)
  await leading.until('the remote is followed', ({ repository }) => repository?.accepted != null)
  const redis = `unix:${join(leading.stateDir, 'redis/redis.sock')}`
  const { webhook } = await startServing(t, ...remote, '--redis', redis)
  const pushed = await leading.push(makeFiles({ services: { web: { vip: 10, backends: [1, 2, 3] } } }))
  assert.equal((await webhook()).status, 202)
  await leading.until('the push is accepted', ({ repository }) => repository?.accepted === pushed)
})

test('state, plan, events, readiness and metrics of a fleet that runs', async t => {
  const { fleet, url, get, webhook } = await startServing(t)
  const ready = await fetch(`${url}/readyz`)
  assert.equal(ready.status, 503)
  assert.match(await ready.text(), /"name":"revision","ok":false/)
  const events = readEvents(t, `${url}/api/v1/events`, { authorization: 'Bearer read' })
  await events.opened

  const logged = fleet.log().length
  await fleet.startWorker('lb-1', {
    flags: ['--driver', 'simulated', '--scan-interval', '200', '--listen', '127.0.0.1:0'],
  })
  const worker = await addressOf(fleet, logged)
  const first = await fleet.push(makeFiles({ nodes: ['lb-1'] }))
  await fleet.untilApplied(first)
  assert.equal((await webhook()).status, 202)
  await events.until('lb-1 says that it applied', all =>
    all.some(({ event, data }) => event === 'node-reported' && data.outcome === 'applied'),
  )
  assert.deepEqual(
    events.seen.map(({ event }) => event).filter(event => event !== 'node-reported'),
    ['push-seen', 'accepted'],
  )
  assert.equal((await fetch(`${url}/readyz`)).status, 200)
  assert.equal((await fetch(`${worker}/readyz`)).status, 200)
  assert.equal((await fetch(`${worker}/api/v1/state`)).status, 404)
  const workerMetrics = await (await fetch(`${worker}/metrics`)).text()
  assert.match(workerMetrics, /^ballast_node_state\{node="lb-1",state="in-sync"\} 1$/m)

  const second = await fleet.push(
    makeFiles({ nodes: ['lb-1'], services: { web: { vip: 10, backends: [1, 2, 3] } } }),
  )
  await fleet.untilApplied(second)
  const plan = FleetPlan.parse(await (await get(`/api/v1/plan?from=${first}&to=${second}`)).json())
  assert.deepEqual(plan.totals, { create: 0, update: 1, delete: 0, unchanged: 0 })
  assert.equal((await get('/api/v1/plan?to=no-such-branch')).status, 422)
  const live = FleetPlan.parse(await (await get('/api/v1/plan')).json())
  assert.deepEqual(live.totals, { create: 0, update: 0, delete: 0, unchanged: 1 })
  const state = FleetStatus.parse(await (await get('/api/v1/state')).json())
  assert.ok(state.inSync && state.repository?.accepted === second)

  await fleet.push({ 'README.md': 'nothing' })
  await events.until('the refusal is told', all => all.some(({ event }) => event === 'refused'))
  // The event is told at once, the state that metrics show with the end of the round.
  await fleet.until('the refusal is in the state', ({ repository }) => repository?.rejected != null)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  assert.match(metrics, /^ballast_git_head_refused 1$/m)
  assert.match(metrics, /^ballast_reconcile_phase_duration_seconds_count\{phase="publish"\} [1-9]/m)
  assert.match(metrics, /^ballast_queue_reachable 1$/m)

  for (const secret of [SECRET, 'Bearer']) assert.ok(!fleet.log().includes(secret), secret)
})

test('an unsigned webhook and a token that may only read make nobody look', async t => {
  const { fleet, url, get } = await startServing(t, '--log-level', 'debug')
  const unsigned = { ...github('another secret') }
  assert.equal((await fetch(`${url}/webhook/github`, { method: 'POST', ...unsigned })).status, 401)
  const reconcile = (token: string) =>
    fetch(`${url}/api/v1/reconcile`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  assert.equal((await reconcile('read')).status, 403)
  assert.equal((await get('/api/v1/state', 'wrong')).status, 401)
  assert.equal((await reconcile('operate')).status, 202)
  assert.match(fleet.log(), /answered/)
})
