import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { PROJECT, startStandIn } from '../forge/stand-in.ts'
import { serveGit } from '../repo/git-server.ts'
import { createFleet, type Files, makeFiles, type TestFleet, waitFor } from './fleet.ts'

const NODES = ['lb-1', 'lb-2', 'lb-3']

/** Three nodes of which the first is the canary; `bake` as in the manifest. */
function makeWaves(backends: number[], bake: string, rollout: object = {}): Files {
  const spec = { rollout: { canary: { names: ['lb-1'] }, steps: [60], bake, ...rollout } }
  return {
    ...makeFiles({ nodes: NODES, services: { web: { vip: 10, backends } } }),
    'fleet.yaml': JSON.stringify({
      ...{ apiVersion: 'ballast.dev/v1', kind: 'Fleet', metadata: { name: 'test' } },
      spec,
    }),
  }
}

const wanted = ({ nodes }: FleetStatus): Record<string, string | undefined> =>
  Object.fromEntries(nodes.map(({ name, wanted: want }) => [name, want?.revision]))
const at = (one: string, others: string) => ({ 'lb-1': one, 'lb-2': others, 'lb-3': others })
const isAt = (status: FleetStatus, revisions: object): boolean =>
  JSON.stringify(wanted(status)) === JSON.stringify(revisions)

/** A first revision without waves, then the rules: by them the next one goes. */
async function acceptRules(fleet: TestFleet, bake: string): Promise<string> {
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: NODES })))
  const rules = await fleet.push(makeWaves([1, 2], bake))
  return (await fleet.untilApplied(rules)).repository!.accepted!
}

async function startAll(fleet: TestFleet) {
  await fleet.startRedis()
  const reconciler = await fleet.startReconciler()
  for (const node of NODES) await fleet.startWorker(node)
  return reconciler
}

test('a canary that fails its gate goes back, and no other node ever changes', async t => {
  const fleet = await createFleet(t)
  await startAll(fleet)
  const rules = await acceptRules(fleet, '5m')
  const before = await fleet.status()
  // The table of the first cannot be written any more.
  const blocked = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json.new')
  await mkdir(blocked)
  const bad = await fleet.push(makeWaves([1, 2, 3], '5m'))
  const status = await fleet.until(
    'it is refused',
    ({ repository }) => repository?.rejected?.revision === bad,
  )
  assert.equal(status.repository?.rejected?.diagnostics[0]?.rule, 'rollout-apply')
  const after = await fleet.until(
    'the canary went back',
    now => now.nodes[0]?.wanted?.revision === rules && now.nodes[0].state === 'in-sync',
  )
  assert.equal(after.repository?.accepted, rules)
  assert.equal(after.rollout?.state, 'failed')
  for (const node of [1, 2]) assert.deepEqual(after.nodes[node]!.wanted, before.nodes[node]!.wanted)

  await rm(blocked, { recursive: true })
  const good = await fleet.push(makeWaves([1, 2, 4], '5m'))
  await fleet.until('the next one begins with the canary', now => isAt(now, at(good, wanted(after)['lb-2']!)))
})

test('kill -9 of the reconciler in the middle of a wave: the next one goes on where it was', async t => {
  const fleet = await createFleet(t)
  const reconciler = await startAll(fleet)
  await acceptRules(fleet, '2s')
  const old = wanted(await fleet.status())['lb-2']!
  const next = await fleet.push(makeWaves([1, 2, 3], '2s'))
  await fleet.until('the canary changes', status => isAt(status, at(next, old)))
  process.kill(reconciler.pid, 'SIGKILL')
  await reconciler.exited
  assert.deepEqual(wanted(await fleet.status()), at(next, old))
  await fleet.startReconciler()
  await fleet.untilApplied(next)
  const opened = [...fleet.log().matchAll(/wave opens.*/g)].map(([line]) => line)
  assert.equal(opened.filter(line => line.includes(next)).length, 2, opened.join('\n'))
})

test('a record that is lost everywhere: every node stays, until a person lets it go on', async t => {
  const fleet = await createFleet(t)
  const reconciler = await startAll(fleet)
  await acceptRules(fleet, '5m')
  const old = wanted(await fleet.status())['lb-2']!
  const next = await fleet.push(makeWaves([1, 2, 3], '5m'))
  await fleet.until('the canary changes', status => isAt(status, at(next, old)))
  process.kill(reconciler.pid, 'SIGKILL')
  await reconciler.exited
  const socket = join(fleet.stateDir, 'redis/redis.sock')
  await runCommand('redis-cli', ['-s', socket, 'del', '{ballast}:rollout'])
  await rm(join(fleet.stateDir, 'rollout.json'))
  await runCommand('git', ['-C', fleet.repo, 'update-ref', '-d', 'refs/ballast/state'])

  await fleet.startReconciler()
  const status = await fleet.until('it is held', ({ holds }) => holds !== undefined)
  assert.match(status.holds![0]!.reason, /record of the last rollout is lost/)
  const later = await fleet.push(makeWaves([1, 2, 3, 4], '5m'))
  await fleet.until('the push is seen', ({ repository }) => repository?.seen === later)
  assert.deepEqual(wanted(await fleet.status()), at(next, old))

  const resumed = await fleet.ballast('resume', '--state-dir', fleet.stateDir)
  assert.match(resumed.stdout, /Nothing is held/)
  await fleet.until('it begins again with the canary', now => isAt(now, at(later, old)))
})

test('a probe that finds nobody closes the gate, and a pull request at the remote takes the revision back', async t => {
  const fleet = await createFleet(t)
  const forge = await startStandIn(t, 'github')
  const server = await serveGit(t, fleet.dir)
  server.manners.authorization = `Basic ${Buffer.from(`x-access-token:${forge.token}`).toString('base64')}`
  await fleet.git('--git-dir', fleet.repo, 'config', 'http.receivepack', 'true')
  const token = join(fleet.dir, 'forge.token')
  await writeFile(token, forge.token, { mode: 0o600 })
  await fleet.startRedis()
  await fleet.startReconciler(
    ...['--repo', `${server.url}/fleet.git`, '--branch', 'main', '--git-token-file', token],
    ...['--poll-interval', '200', '--forge', 'github', '--forge-url', forge.url],
    ...['--forge-project', PROJECT, '--forge-token-file', token],
  )
  for (const node of NODES) await fleet.startWorker(node)
  const listener = createServer().listen(0, '127.0.0.1')
  t.after(() => listener.close())
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const rules = { gates: { probes: [{ address: '127.0.0.1', port }] }, onFailure: 'review' }
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: NODES })))
  const good = await fleet.push(makeWaves([1, 2], '5m', rules))
  const before = await fleet.untilApplied(good)
  listener.close()
  const bad = await fleet.push(makeWaves([1, 2, 3], '5m', rules))
  await fleet.until('it is refused', ({ repository }) => repository?.rejected?.revision === bad)
  const told = () => forge.statuses.get(bad)?.get('ballast/fleet')
  await waitFor('its status leads to the pull request', async () => told()?.url != null)
  const [pull] = forge.pulls
  assert.deepEqual([pull!.from, pull!.into], [`ballast/revert-${bad.slice(0, 12)}`, 'main'])
  assert.match(told()!.url!, /\/pull\/1$/)
  assert.match(told()!.description, /^Refused: .*127\.0\.0\.1:\d+ cannot be reached/)
  const { stdout: said } = await fleet.ballast('status', '--state-dir', fleet.stateDir)
  assert.ok(said.includes(`taken back on branch ${pull!.from}: ${told()!.url}`), said)
  await fleet.git('fetch', '-q', 'origin', pull!.from)
  const revert = await fleet.git('rev-parse', 'FETCH_HEAD')
  await fleet.git('push', '-q', 'origin', `${revert}:main`)
  const after = await fleet.untilApplied(revert)
  assert.match(await fleet.git('log', '-1', '--format=%s%n%b', revert), /^Revert "a change"[\s\S]*probes/)
  assert.equal(await fleet.git('rev-parse', `${revert}^`), bad)
  assert.equal(
    await fleet.git('rev-parse', `${revert}^{tree}`),
    await fleet.git('rev-parse', `${good}^{tree}`),
  )
  for (const node of [1, 2]) assert.deepEqual(after.nodes[node]!.wanted, before.nodes[node]!.wanted)
})

test('a freeze holds a revision back until a commit says why it does not wait', async t => {
  const fleet = await createFleet(t)
  await startAll(fleet)
  const frozen = (backends: number[]): Files => ({
    ...makeFiles({ nodes: NODES, services: { web: { vip: 10, backends } } }),
    'fleet.yaml': JSON.stringify({
      ...{ apiVersion: 'ballast.dev/v1', kind: 'Fleet', metadata: { name: 'test' } },
      spec: { freeze: [{ mode: 'deny', schedule: '0 0 * * *', duration: '2d', nodes: { names: ['lb-2'] } }] },
    }),
  })
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: NODES })))
  const rules = await fleet.push(frozen([1, 2]))
  await fleet.untilApplied(rules)
  const next = await fleet.push(frozen([1, 3]))
  const held = await fleet.until('the others change', now => wanted(now)['lb-3'] === next)
  assert.equal(wanted(held)['lb-1'], next)
  assert.notEqual(wanted(held)['lb-2'], next)
  assert.equal(held.inSync, false)
  const said = await fleet.ballast('plan', '--repo', fleet.repo, '--from', rules, '--to', next)
  assert.match(said.stdout, /lb-2: frozen, and no window lets them change/)

  await fleet.git(
    'commit',
    '-q',
    '--allow-empty',
    '-m',
    'an outage',
    '-m',
    'Ballast-Freeze-Override: an outage',
  )
  await fleet.git('push', '-q', 'origin', 'HEAD:main')
  const last = await fleet.git('rev-parse', 'HEAD')
  const after = await fleet.untilApplied(last)
  assert.equal(after.rollout?.freezeOverride, 'an outage')
})

test('a guard refuses what takes away too much, and a reviewed override lets it', async t => {
  const fleet = await createFleet(t)
  await startAll(fleet)
  const guarded = (backends: number[], annotations: object = {}): Files => {
    const files = makeFiles({ nodes: NODES, services: { web: { vip: 10, backends } } })
    const service = JSON.parse(files['services/web.yaml']!)
    service.metadata.annotations = annotations
    service.spec.guards = { backends: 0.5 }
    return { ...files, 'services/web.yaml': JSON.stringify(service) }
  }
  const good = await fleet.push(guarded([1, 2, 3, 4]))
  await fleet.untilApplied(good)
  const bad = await fleet.push(guarded([1]))
  const { repository } = await fleet.until('it is refused', now => now.repository?.rejected?.revision === bad)
  assert.equal(repository?.rejected?.diagnostics.at(-1)?.rule, 'guard-backends')
  const said = await fleet.ballast('plan', '--repo', fleet.repo, '--from', good, '--to', bad)
  assert.match(said.stdout, /Refused by guard-backends: web: 75 % of its backends/)
  assert.equal((await fleet.ballast('accept', bad, '--repo', fleet.repo)).exitCode, 0)
  const until = new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+/, '')
  const override = { 'override.ballast.dev/backends': `75% until ${until}` }
  await fleet.untilApplied(await fleet.push(guarded([1], override)))
})

test('nothing is pinned that could not be held: a revision that is not valid, a node or service that is not there', async t => {
  const fleet = await createFleet(t)
  await startAll(fleet)
  const first = await fleet.push(makeFiles({ nodes: NODES, services: { web: { vip: 10, backends: [1] } } }))
  await fleet.untilApplied(first)
  const broken = await fleet.push({ 'services/web.yaml': 'apiVersion: ballast.dev/v1\nkind: Nothing\n' })
  const pin = (revision: string, ...args: string[]) =>
    fleet.ballast('pin', revision, '--repo', fleet.repo, '--state-dir', fleet.stateDir, ...args)
  const because = ['--reason', 'a test']
  const cases: [string, string[], RegExp][] = [
    [broken, because, /is not valid:\nservices\/web\.yaml:2/],
    [first, ['--node', 'lb-99', ...because], /no node lb-99/],
    [first, ['--service', 'wbe', ...because], /no service wbe/],
    [first, ['--reason', ' '], /must be able to read why/],
  ]
  for (const [revision, args, said] of cases) {
    const { exitCode, stderr } = await pin(revision, ...args)
    assert.equal(exitCode, 1, args.join(' '))
    assert.match(stderr, said)
  }
  assert.deepEqual((await fleet.status()).holds ?? [], [])
  assert.equal((await pin(first, '--service', 'web', ...because)).exitCode, 0)
})

test('a node, a service and the fleet are held, whatever is pushed, until they are let go', async t => {
  const fleet = await createFleet(t)
  await startAll(fleet)
  const files = (web: number[], dns: number[]): Files =>
    makeFiles({
      nodes: NODES,
      services: { web: { vip: 10, backends: web }, dns: { vip: 11, backends: dns } },
    })
  const hold = async (...args: string[]): Promise<void> => {
    const { exitCode, stderr } = await fleet.ballast(...args, '--state-dir', fleet.stateDir)
    assert.equal(exitCode, 0, stderr)
  }
  const because = ['--reason', 'a test']
  const addressesOf = async (node: string, key: string): Promise<string[]> => {
    const text = await readFile(join(fleet.stateDir, `nodes/${node}/simulated-xdp.json`), 'utf8')
    return JSON.parse(text)[`service/${key}:80/tcp`].backends.map(
      ({ address }: { address: string }) => address,
    )
  }
  const first = await fleet.push(files([1], [1]))
  await fleet.untilApplied(first)

  await hold('suspend', '--node', 'lb-1', ...because)
  await hold('pin', first, '--service', 'dns', '--repo', fleet.repo, ...because)
  const second = await fleet.push(files([2], [2]))
  const status = await fleet.untilApplied(second)
  assert.deepEqual(wanted(status), { 'lb-1': first, 'lb-2': second, 'lb-3': second })
  assert.deepEqual(
    status.holds?.map(({ scope }) => scope.kind),
    ['node', 'service'],
  )
  assert.deepEqual(await addressesOf('lb-2', '203.0.113.10'), ['10.0.1.2'])
  assert.deepEqual(await addressesOf('lb-2', '203.0.113.11'), ['10.0.1.1'])

  await hold('suspend', ...because)
  const third = await fleet.push(files([3], [3]))
  await fleet.until('it is seen', ({ repository }) => repository?.seen === third)
  assert.equal((await fleet.status()).repository?.accepted, second)

  for (const scope of [[], ['--node', 'lb-1'], ['--service', 'dns']]) await hold('resume', ...scope)
  await fleet.untilApplied(third)
  await waitFor('every node has it', async () => {
    const all = await Promise.all(NODES.map(node => addressesOf(node, '203.0.113.11')))
    return all.every(addresses => addresses.join() === '10.0.1.3')
  })
})
