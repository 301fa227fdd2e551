import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'

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
    /^drift: lb-1 lost backend 10\.0\.1\.2 of web \(\d\d% of its flows\), \w+ after [\d.]+ m?s \[skip ci\]$/,
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
