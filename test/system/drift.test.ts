import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { json, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runCommand, startProgram } from '../../reconciler/process/run-command.ts'
import { Notification } from '../../schemas/alert.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { listen, startAlertmanager } from '../alerts/alertmanager.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const CLI = fileURLToPath(new URL('../../reconciler/cli.ts', import.meta.url))
const BRANCH = 'ballast/drift'
const WEB = 'service/203.0.113.10:80/tcp'

/** Does what somebody at the node does by hand: the simulated table without the second backend of web. */
async function loseBackend(fleet: TestFleet, node: string): Promise<void> {
  const file = join(fleet.stateDir, 'nodes', node, 'simulated-xdp.json')
  const rows = JSON.parse(await readFile(file, 'utf8')) as NodeTables['xdp']
  const row = rows[WEB]
  assert.ok(row?.kind === 'service')
  await writeFile(file, JSON.stringify({ ...rows, [WEB]: { ...row, backends: row.backends.slice(0, 1) } }))
}

const inRepo = async (fleet: TestFleet, ...args: string[]): Promise<string> =>
  (await runCommand('git', ['-C', fleet.repo, ...args], { okExitCodes: [0, 128] })).stdout.trim()

const getMetrics = (socketPath: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ socketPath, path: '/metrics' }, response => resolve(text(response))).on('error', reject)
  })

const getJson = (socketPath: string, path: string, token: string): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` }
    get({ socketPath, path, headers }, response => resolve(json(response))).on('error', reject)
  })

const subjects = async (fleet: TestFleet): Promise<string[]> =>
  (await inRepo(fleet, 'log', '--reverse', '--format=%s', BRANCH)).split('\n').filter(Boolean)

test('what somebody changes on a node is repaired, and committed once with both facts; nothing is reconciled by it', async t => {
  const fleet = await createFleet(t)
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  const revision = await fleet.push(makeFiles({ nodes: ['lb-1'] }))
  await fleet.untilApplied(revision)
  await loseBackend(fleet, 'lb-1')
  await waitFor('a commit', async () => (await subjects(fleet)).length === 1)
  assert.match(
    (await subjects(fleet))[0]!,
    /^drift: lb-1 lost backend 10\.0\.1\.2 of web \(\d\d% of its flows\), repaired after [\d.]+ m?s \[skip ci\]$/,
  )
  assert.equal(await inRepo(fleet, 'ls-tree', '-r', BRANCH), '')
  assert.equal(await inRepo(fleet, 'rev-parse', 'main'), revision)
  assert.equal(fleet.log().match(/push seen/g)?.length, 1)
})

test('drift that is held is committed when it lasts, and another reconciler goes on where the first was', async t => {
  const fleet = await createFleet(t)
  await fleet.startRedis()
  const first = await fleet.startReconciler('--drift-commit-after', '300')
  await fleet.startWorker('lb-1')
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: ['lb-1'], drift: 'hold' })))
  const file = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json')
  const whole = await readFile(file, 'utf8')
  await loseBackend(fleet, 'lb-1')
  await waitFor('a commit', async () => (await subjects(fleet)).length === 1)
  const path = 'drift/lb-1/xdp/service/203.0.113.10:80/tcp.yaml'
  assert.equal(await inRepo(fleet, 'ls-tree', '-r', '--name-only', BRANCH), path)
  assert.match(
    await inRepo(fleet, 'show', `${BRANCH}:${path}`),
    /summary: lb-1 lost backend 10\.0\.1\.2 of web/,
  )
  await first.stop()
  await fleet.startReconciler('--drift-commit-after', '300')
  await writeFile(file, whole)
  await waitFor('it is told to be gone', async () => (await subjects(fleet)).length > 1)
  assert.match(
    (await subjects(fleet))[1]!,
    /^drift healed: lb-1 lost backend 10\.0\.1\.2 of web .* after [\d.]+ s/,
  )
  assert.equal(await inRepo(fleet, 'ls-tree', '-r', BRANCH), '')
})

test('drift is told to Alertmanager and to a webhook that was away when the reconciler was started anew', async t => {
  const fleet = await createFleet(t)
  const [people, hook] = [await listen(t), await listen(t)]
  const receivers = [
    { type: 'alertmanager', name: 'ops', url: await startAlertmanager(t, people.url) },
    { type: 'webhook', name: 'hook', url: hook.url },
  ]
  const config = join(fleet.dir, 'ballast.yaml')
  await writeFile(config, JSON.stringify({ alerts: { receivers } }))
  await fleet.startRedis()
  const first = await fleet.startReconciler('--config', config)
  await fleet.startWorker('lb-1')
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: ['lb-1'], drift: 'hold' })))
  const file = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json')
  const whole = await readFile(file, 'utf8')
  hook.status = 503
  await loseBackend(fleet, 'lb-1')
  const summaries = () =>
    people.requests.flatMap(({ body }) =>
      (JSON.parse(body) as { alerts: { status: string; annotations: { summary: string } }[] }).alerts.map(
        ({ status, annotations }) => `${status}: ${annotations.summary}`,
      ),
    )
  const fires = 'firing: lb-1 lost backend 10.0.1.2 of web (50% of its flows)'
  await waitFor('people are told', async () => summaries().includes(fires))
  await first.stop()
  await writeFile(file, whole)
  hook.status = 200
  await fleet.startReconciler('--config', config)
  await waitFor('people are told of the end', async () =>
    summaries().some(each => each.startsWith('resolved: ')),
  )
  await waitFor('the webhook is told', async () => hook.requests.length > 0)
  const told = hook.requests.flatMap(({ body }) => Notification.parse(JSON.parse(body)).alerts)
  assert.deepEqual(
    told.map(({ status, count }) => [status, count]),
    [['passed', 1]],
  )
  const tried = await fleet.ballast('alerts', 'test', 'hook', '--config', config, '--json')
  assert.deepEqual(JSON.parse(tried.stdout), [{ receiver: 'hook', taken: true }])
  hook.status = 500
  assert.equal((await fleet.ballast('alerts', 'test', 'hook', '--config', config)).exitCode, 1)
})

test('a paused node keeps what was done by hand, says so, and goes on when it is resumed', async t => {
  const fleet = await createFleet(t)
  const at = ['--state-dir', fleet.stateDir]
  const socket = join(fleet.dir, 'http.sock')
  await fleet.startReconciler('--drift-commit-after', '100', '--listen', `unix:${socket}`)
  const worker = await fleet.startWorker('lb-1')
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: ['lb-1'] })))
  assert.deepEqual(await fleet.ballast('drift', ...at).then(({ exitCode, stdout }) => [exitCode, stdout]), [
    0,
    'No drift.\n',
  ])
  const pause = async (why: string, node = 'lb-1') =>
    fleet.ballast('pause', '--node', node, '--for', '10m', '--why', why, ...at)
  for (const refused of [
    await pause(''),
    await pause(' \n'),
    await pause('x', 'lb-9'),
    await fleet.ballast('drift', '--node', 'lb-9', ...at),
  ])
    assert.deepEqual(
      [refused.exitCode, refused.stderr.trim().split('\n').length],
      [1, 1],
      `${refused.stdout}${refused.stderr}`,
    )
  await pause('a new\n\u001b[31mcable')
  await waitFor('the pause is committed', async () =>
    (await subjects(fleet)).some(each => each.includes('a new [31mcable')),
  )
  assert.match(
    (await fleet.ballast('status', ...at)).stdout,
    /^lb-1 {2}paused by \S+ for another .*: a new \[31mcable$/m,
  )
  await loseBackend(fleet, 'lb-1')
  const drift = async () => fleet.ballast('drift', ...at, '--json')
  const open = async () => (JSON.parse((await drift()).stdout) as { drift: DriftRecord[] }).drift
  await waitFor('drift is told', async () => (await open()).length === 2)
  const [paused, changed] = await open()
  assert.deepEqual([paused?.kind, changed?.kind, changed?.held], ['paused', 'changed', 'pause'])
  const { exitCode, stdout } = await fleet.ballast('drift', ...at)
  assert.equal(exitCode, 2)
  assert.match(
    stdout,
    /lost backend 10\.0\.1\.2 .*50% of its flows.*\n.*held: the node is paused\n {4}backends: wanted /,
  )
  const metrics = await getMetrics(socket)
  assert.match(metrics, /^ballast_drift_open\{node="lb-1",kind="changed"\} 1$/m)
  assert.match(metrics, /^ballast_drift_flows_share\{node="lb-1"\} 0\.(49|50)/m)
  assert.match(metrics, /^ballast_drift_push_failing 0$/m)
  // Neither Redis nor the worker's memory is needed for it.
  await worker.stop()
  const redis = join(fleet.stateDir, 'redis/redis.sock')
  await runCommand('redis-cli', ['-s', redis, 'del', '{ballast}:pause:lb-1'])
  await fleet.startWorker('lb-1')
  await waitFor('another worker', async () => fleet.log().match(/worker started/g)?.length === 2)
  const seen = Date.now()
  await fleet.until(
    'the other worker reports',
    ({ nodes }) => (nodes[0]?.reportAge ?? 1e9) < Date.now() - seen,
  )
  assert.deepEqual(
    (await open()).map(({ held }) => held),
    [undefined, 'pause'],
  )
  const resumed = await fleet.ballast('resume', '--node', 'lb-1', ...at)
  assert.deepEqual(
    [resumed.exitCode, resumed.stdout],
    [0, 'node lb-1 is not paused any more.\nNothing is held.\n'],
  )
  await waitFor('it is repaired', async () => (await drift()).exitCode === 0)
})

test('a node that gives no sign is shown by `drift`, `status`, the API and metrics, since when it was, also by the next reconciler', async t => {
  const fleet = await createFleet(t)
  const at = ['--state-dir', fleet.stateDir]
  const [socket, tokens] = [join(fleet.dir, 'http.sock'), join(fleet.dir, 'tokens.yaml')]
  const entry = { name: 'reader', role: 'read', sha256: createHash('sha256').update('secret').digest('hex') }
  await writeFile(tokens, JSON.stringify({ tokens: [entry] }), { mode: 0o600 })
  const http = ['--listen', `unix:${socket}`, '--api-tokens-file', tokens]
  await fleet.startRedis()
  const first = await fleet.startReconciler(...http)
  await fleet.startWorker('lb-1')
  const worker = await fleet.startWorker('lb-2')
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: ['lb-1', 'lb-2'] })))
  const drift = async (...flags: string[]) => {
    const { exitCode, stdout, stderr } = await fleet.ballast('drift', ...at, '--json', ...flags)
    const records = (JSON.parse(stdout) as { drift: DriftRecord[] }).drift
    return { exitCode, stderr, records: records.filter(({ kind }) => kind === 'unreachable') }
  }
  assert.deepEqual(await drift(), { exitCode: 0, stderr: '', records: [] })
  process.kill(worker.pid, 'SIGKILL')
  await waitFor('it is told', async () => (await drift()).exitCode === 2)
  const { records: found } = await drift()
  assert.deepEqual(
    found.map(({ node }) => node),
    ['lb-2'],
  )
  assert.deepEqual((await drift('--node', 'lb-1')).records, [])
  const { inSync, nodes, fleetDrift } = await fleet.status()
  assert.deepEqual([inSync, nodes[1]?.state, fleetDrift], [false, 'silent', found])
  assert.match((await fleet.ballast('status', ...at)).stdout, /^lb-2 gives no sign/m)
  assert.deepEqual(await getJson(socket, '/api/v1/drift', 'secret'), { drift: found })
  assert.match(await getMetrics(socket), /^ballast_drift_open\{node="lb-2",kind="unreachable"\} 1$/m)

  await first.stop()
  const alone = await drift()
  assert.deepEqual([alone.exitCode, alone.records], [2, found])
  assert.match(alone.stderr, /^No reconciler leads: /)
  await fleet.startReconciler(...http)
  await waitFor('it leads', async () => (await drift()).stderr === '')
  await waitFor('it has looked', async () => fleet.log().match(/this reconciler leads/g)?.length === 2)
  assert.deepEqual((await drift()).records, found)
  await fleet.startWorker('lb-2')
  await waitFor('it is over', async () => (await drift()).exitCode === 0)
  const [over] = (await drift('--all')).records
  assert.deepEqual([over?.since, over?.node], [found[0]?.since, 'lb-2'])
  assert.notEqual(over?.healedAt, null)
})

test('a worker that is stopped while it is connected is told of, long before reports are missed, and is back when it goes on', async t => {
  const fleet = await createFleet(t)
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  const worker = await fleet.startWorker('lb-2')
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: ['lb-1', 'lb-2'] })))
  const silent = async () =>
    (await fleet.status()).fleetDrift?.map(({ node, kind }) => `${node} ${kind}`) ?? []
  // Its signs of life must have been heard.
  await fleet.until('a report of a quiet node', ({ nodes }) => (nodes[1]?.reportAge ?? 0) > 3_000)
  assert.deepEqual(await silent(), [])
  process.kill(worker.pid, 'SIGSTOP')
  const { nodes } = await fleet.until('it is told', ({ fleetDrift }) => fleetDrift !== undefined)
  assert.deepEqual(await silent(), ['lb-2 unreachable'])
  assert.deepEqual(
    nodes.map(({ state, reportAge }) => [state, (reportAge ?? 0) < 30_000]),
    [
      ['in-sync', true],
      ['silent', true],
    ],
  )
  process.kill(worker.pid, 'SIGCONT')
  await fleet.until('it is back', ({ fleetDrift }) => fleetDrift === undefined)
})

test('whoever watches drift waits for a Redis that is away', async t => {
  const fleet = await createFleet(t)
  const watch = await startProgram(
    process.execPath,
    [CLI, 'drift', '--watch', '--json', '--state-dir', fleet.stateDir],
    { stdout: 'pipe', stderr: 'pipe' },
  )
  t.after(() => watch.stop())
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const)
    watch[stream]!.on('data', text => {
      said[stream] += String(text)
    })
  await waitFor('it says so', async () => /Redis at .* does not answer.*; trying again\n/.test(said.stderr))
  assert.equal(said.stdout, '')
  await fleet.startRedis()
  await waitFor('it has read', async () => said.stdout === '{"drift":[]}\n')
})
