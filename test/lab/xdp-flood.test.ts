import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import type { Lab } from '../../reconciler/lab/lab.ts'
import { failuresOf, responsesOf } from '../../reconciler/lab/measure-traffic.ts'
import { hostsOf, ROUTER } from '../../reconciler/lab/topology.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import type { RowBackend } from '../../schemas/node-state.ts'
import { backendsOf, hold, startOn } from './client-programs.ts'
import { apply, makeRows, runOn, skip, TARGETS, upWithBackends, WEB } from './xdp-lab.ts'

/** On all nodes together. `BALLAST_LAB_UPDATES=10000` for the whole of it. */
const UPDATES = Number(process.env.BALLAST_LAB_UPDATES ?? 300)
const FLOOD_PER_SECOND = 20_000
const ONE_SIDE_MS = 2_500

async function applyAll(lab: Lab, backends: RowBackend[]): Promise<Record<string, number>> {
  const sum: Record<string, number> = {}
  for (const { name } of hostsOf(lab.topology, 'lb')) {
    const counted = await apply(lab, name, await makeRows(name, { [WEB]: { backends } }))
    for (const [reason, packets] of Object.entries(counted)) sum[reason] = (sum[reason] ?? 0) + packets
  }
  return sum
}

test('1,000 connections live through a flood of SYNs and ACKs with a ring change in its middle (rule 3)', {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'flood')
  await runCommand(...lab.on(ROUTER, ['ip', 'route', 'add', 'blackhole', '198.18.0.0/15']))
  await applyAll(lab, backendsOf(lab, 100, 100, 50))
  const held = await hold(lab, 1_000)
  const flood = await startOn(lab, 'flood.ts', { vip: '203.0.113.10', port: 80, perSecond: FLOOD_PER_SECOND })
  await delay(ONE_SIDE_MS)
  await applyAll(lab, backendsOf(lab, 0, 10, 200))
  process.kill(held.program.pid, 'SIGUSR2')
  await delay(ONE_SIDE_MS)
  const counted = await applyAll(lab, backendsOf(lab, 0, 10, 200))
  const { sent = 0 } = (await flood.stop()) ?? {}
  assert.deepEqual(await held.stop(), { kind: 'ended', lost: {}, silent: 0 })
  t.diagnostic(`${sent} packets of flood`)
  const taken = (counted.forwarded_ring ?? 0) + (counted.forwarded_untracked ?? 0)
  assert.ok(sent > 5_000 && taken > sent / 2, `${sent} sent, ${JSON.stringify(counted)}`)
})

test(`${UPDATES} random updates under load drop no packet and break no connection (rule 3)`, {
  skip,
}, async t => {
  const lab = await upWithBackends(t, 'updates')
  await applyAll(lab, backendsOf(lab, 100, 100, 50))
  const held = await hold(lab, 100)
  const load = await startLoad(lab, { targets: TARGETS, interval: 10, timeout: 5_000 })
  process.kill(held.program.pid, 'SIGUSR2')
  const seed = 4711
  const balancers = hostsOf(lab.topology, 'lb')
  await Promise.all(
    balancers.map(async ({ name }, index) => {
      const rows = await makeRows(name, { [WEB]: { backends: backendsOf(lab, 100, 100, 50) } })
      const order = { rows, count: Math.ceil(UPDATES / balancers.length), seed: seed + index }
      const limit = 60_000 + UPDATES * 200
      const { failed, programs, reasons } = z
        .object({ failed: z.number(), programs: z.number(), reasons: z.record(z.string(), z.unknown()) })
        .parse(await runOn(lab, name, 'random-updates.ts', order, limit))
      assert.equal(failed, 0)
      assert.ok(programs > 1, 'a new program took over under traffic')
      assert.deepEqual(
        Object.keys(reasons).filter(reason => reason.startsWith('drop_')),
        [],
        JSON.stringify(reasons),
      )
    }),
  )
  await delay(600)
  await load.stop()
  assert.deepEqual(failuresOf(load.events), [])
  assert.ok(responsesOf(load.events).length > 100)
  assert.deepEqual(await held.stop(), { kind: 'ended', lost: {}, silent: 0 })
})
