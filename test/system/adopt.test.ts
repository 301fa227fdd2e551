import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { NodeTables } from '../../schemas/node-state.ts'
import { createFleet, makeFiles, waitFor } from './fleet.ts'

const WEB = 'service/203.0.113.10:80/tcp'

test('what is found on a node is adopted on a branch, and is no drift any more when that is merged', async t => {
  const fleet = await createFleet(t)
  const at = ['--state-dir', fleet.stateDir]
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  await fleet.untilApplied(await fleet.push(makeFiles({ nodes: ['lb-1'], drift: 'hold' })))
  const file = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json')
  const rows = JSON.parse(await readFile(file, 'utf8')) as NodeTables['xdp']
  const row = rows[WEB]
  assert.ok(row?.kind === 'service')
  const backends = [{ address: '10.0.1.2', weight: 7 }]
  await writeFile(file, JSON.stringify({ ...rows, [WEB]: { ...row, backends } }))
  await waitFor('drift is told', async () => (await fleet.ballast('drift', ...at)).exitCode === 2)

  const adopt = (...flags: string[]) => fleet.ballast('adopt', ...flags, '--repo', fleet.repo, ...at)
  const dry = await adopt('lb-1', 'xdp', WEB, '--dry-run')
  assert.match(dry.stdout, /^\+.*weight"?: 7/m)
  const branch = 'adopt/lb-1-203.0.113.10-80-tcp'
  assert.equal(await fleet.git('ls-remote', 'origin', branch), '')
  const { stdout } = await adopt('drift/lb-1/xdp/service/203.0.113.10:80/tcp.yaml', '--json')
  assert.equal((JSON.parse(stdout) as { branch: string }).branch, branch)
  assert.equal((await adopt('lb-1', 'xdp', WEB)).stdout, `${branch}\n`)
  const refused = await adopt('lb-1', 'xdp', 'service/none')
  assert.deepEqual([refused.exitCode, refused.stderr.includes(WEB)], [1, true])

  await fleet.git('pull', '-q', 'origin', branch)
  await fleet.git('push', '-q', 'origin', 'HEAD:main')
  await waitFor('no drift', async () => (await fleet.ballast('drift', ...at)).exitCode === 0)
  const after = JSON.parse(await readFile(file, 'utf8')) as NodeTables['xdp']
  assert.deepEqual(after[WEB]?.kind === 'service' && after[WEB].backends, backends)
})
