import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { FleetStatus } from '../../schemas/fleet-status.ts'
import { type Server, startCluster, startSentinel, startServer } from '../queue/redis-servers.ts'
import { createFleet, makeFiles, type TestFleet, waitFor } from './fleet.ts'
import { startSlowProxy } from './slow-proxy.ts'

/** The n-th push has n backends: what a node holds says how new it is. */
const push = (fleet: TestFleet, backends: number): Promise<string> =>
  fleet.push(
    makeFiles({
      nodes: ['lb-1'],
      services: { web: { vip: 10, backends: Array.from({ length: backends }, (_, index) => index + 1) } },
    }),
  )

async function backendsOf(fleet: TestFleet): Promise<number> {
  const file = join(fleet.stateDir, 'nodes/lb-1/simulated-xdp.json')
  const table: Record<string, { backends?: unknown[] }> = JSON.parse(await readFile(file, 'utf8'))
  return table['service/203.0.113.10:80/tcp']?.backends?.length ?? 0
}

/** A running fleet with the first push applied, whose table is watched: it must never go back, nor be empty. */
async function startWatched(t: TestContext, redis: string) {
  const fleet = await createFleet(t, { redis })
  await fleet.startReconciler()
  await fleet.startWorker('lb-1')
  await fleet.untilApplied(await push(fleet, 1))
  const seen: number[] = []
  const ending = new AbortController()
  const watching = (async () => {
    while (!ending.signal.aborted) {
      seen.push(await backendsOf(fleet))
      await delay(20)
    }
  })()
  t.after(() => ending.abort())
  const stopWatching = async (last: number): Promise<void> => {
    ending.abort()
    await watching
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
      'an older state was never applied',
    )
    assert.ok(seen.length > 0 && seen[0]! >= 1, 'it always held a state')
    assert.equal(await backendsOf(fleet), last)
  }
  return { fleet, stopWatching }
}

const generationOf = ({ nodes }: FleetStatus): number => nodes[0]?.wanted?.generation ?? 0

test('a Redis that is partitioned away, slow, stopped, killed and emptied loses no push and brings none back', async t => {
  const server = await startServer(t)
  const proxy = await startSlowProxy(t, server.port)
  const { fleet, stopWatching } = await startWatched(t, `redis://127.0.0.1:${proxy.port}`)

  proxy.setDelay(Infinity)
  const second = await push(fleet, 2)
  await waitFor('the worker misses it', async () => fleet.log().includes('control plane unreachable'))
  assert.equal(await backendsOf(fleet), 1, 'it keeps what it has')
  proxy.setDelay(0)
  await fleet.untilApplied(second)

  proxy.setDelay(50)
  await fleet.untilApplied(await push(fleet, 3))
  proxy.setDelay(0)

  process.kill(server.program().pid, 'SIGSTOP')
  const fourth = await push(fleet, 4)
  await delay(1000)
  process.kill(server.program().pid, 'SIGCONT')
  const before = await fleet.untilApplied(fourth)

  await server.kill()
  const fifth = await push(fleet, 5)
  await server.start({ empty: true })
  const refilled = await fleet.untilApplied(fifth)
  assert.ok(generationOf(refilled) > generationOf(before), 'generations grow over a lost Redis')

  assert.equal(await server.cli('flushall'), 'OK')
  const again = await fleet.untilApplied(fifth)
  assert.ok(generationOf(again) >= generationOf(refilled))
  await fleet.untilApplied(await push(fleet, 6))
  await stopWatching(6)
})

test('a fail-over by Sentinel goes on with the next push, though the new master lacks the last wants', async t => {
  const { master, replica, url } = await startSentinel(t)
  const { fleet, stopWatching } = await startWatched(t, url)
  // From here on the replica hears nothing more, and is promoted with what it had.
  await replica.cli('config', 'set', 'masterauth', 'wrong')
  await master.cli('client', 'kill', 'type', 'replica')
  await waitFor('the replica is cut off', async () =>
    (await replica.cli('info', 'replication')).includes('master_link_status:down'),
  )
  const key = '{ballast}:want:lb-1'
  await fleet.untilApplied(await push(fleet, 2))
  assert.notEqual(await replica.cli('get', key), await master.cli('get', key))
  await master.kill()
  const third = await push(fleet, 3)
  await fleet.untilApplied(third)
  assert.match(await replica.cli('info', 'replication'), /role:master/)
  await stopWatching(3)
})

test('a master of a Cluster that is restarted empty is filled again', async t => {
  const { owner, url } = await startCluster(t)
  const { fleet, stopWatching } = await startWatched(t, url)
  await owner.kill()
  const second = await push(fleet, 2)
  await delay(500)
  assert.equal(await backendsOf(fleet), 1)
  await owner.start({ empty: true })
  await fleet.untilApplied(second)
  await stopWatching(2)
})

/** The line that `ballast redis acl` prints, as redis-cli reads it. */
async function setUser(
  fleet: TestFleet,
  server: Server,
  passwordFile: string,
  ...role: string[]
): Promise<void> {
  const printed = await fleet.ballast('redis', 'acl', '--role', ...role, '--password-file', passwordFile)
  const words = printed.stdout.trim().match(/"[^"]*"|\S+/g) ?? []
  assert.equal(await server.cli(...words.map(word => word.replaceAll('"', ''))), 'OK')
}

test('reconciler, worker and `status` work with the users that `ballast redis acl` prints', async t => {
  const server = await startServer(t)
  const fleet = await createFleet(t, { redis: `redis://127.0.0.1:${server.port}` })
  const passwordFile = join(fleet.dir, 'password')
  await writeFile(passwordFile, 'secret\n')
  await setUser(fleet, server, passwordFile, 'reconciler')
  await setUser(fleet, server, passwordFile, 'status')
  await setUser(fleet, server, passwordFile, 'worker', '--node', 'lb-1')
  const as = (user: string): string[] => ['--redis-user', user, '--redis-password-file', passwordFile]
  await fleet.startReconciler(...as('ballast-reconciler'))
  const simulated = ['--driver', 'simulated', '--scan-interval', '200']
  await fleet.startWorker('lb-1', { flags: [...simulated, ...as('ballast-worker-lb-1')] })
  await fleet.untilApplied(await push(fleet, 1))
  await fleet.untilApplied(await push(fleet, 2))
  const redis = ['--redis', `redis://127.0.0.1:${server.port}`]
  const status = await fleet.ballast('status', ...redis, ...as('ballast-status'))
  assert.equal(status.exitCode, 0, status.stderr)
  const drift = await fleet.ballast('drift', ...redis, ...as('ballast-status'))
  assert.deepEqual([drift.exitCode, drift.stdout], [0, 'No drift.\n'], drift.stderr)
  assert.equal(await server.cli('acl', 'log'), '', 'nothing was refused')
})
