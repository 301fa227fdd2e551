import assert from 'node:assert/strict'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { createFleet, type Files, makeFiles, type TestFleet } from './fleet.ts'

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
