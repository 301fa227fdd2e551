import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { hostsOf, makeTopology, ROUTER } from '../../reconciler/lab/topology.ts'
import { startBackends } from '../../reconciler/lab/traffic.ts'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { backendsOf, hold } from './client-programs.ts'
import { apply, makeRows, runOn, skip, WEB } from './xdp-lab.ts'

const CONNECTIONS = 300
/** Every connection sends two lines in it. */
const ROUND_MS = 1_200
const VIPS = '203.0.113.0/24'
const Counted = z.object({ liveFlows: z.number() })

const nextHop = (lab: Lab, name: string): string =>
  `via ${hostsOf(lab.topology, 'lb').find(host => host.name === name)!.addresses.ipv4} dev ${name}`

const onRouter = async (lab: Lab, ...lines: string[]): Promise<void> => {
  await runCommand(...lab.on(ROUTER, ['ip', '-batch', '-']), { input: `${lines.join('\n')}\n` })
}

/** How the router spreads flows, and how it goes on without one of the load balancers. */
const WAYS = {
  plain: {
    before: async () => {},
    shrink: (lab: Lab) =>
      onRouter(lab, `route replace ${VIPS} nexthop ${nextHop(lab, 'lb-1')} nexthop ${nextHop(lab, 'lb-2')}`),
  },
  /** Resilient next-hop groups (Linux, nexthop-group-resilient): the buckets of those that stay, stay. */
  resilient: {
    before: (lab: Lab) =>
      onRouter(
        lab,
        ...[1, 2, 3].map(n => `nexthop add id ${n} ${nextHop(lab, `lb-${n}`)}`),
        'nexthop add id 10 group 1/2/3 type resilient buckets 256 idle_timer 60 unbalanced_timer 0',
        `route replace ${VIPS} nhid 10`,
      ),
    shrink: (lab: Lab) =>
      onRouter(
        lab,
        'nexthop replace id 10 group 1/2 type resilient buckets 256 idle_timer 60 unbalanced_timer 0',
      ),
  },
}

async function countFlows(lab: Lab, ...names: string[]): Promise<number> {
  const counts = await Promise.all(names.map(name => runOn(lab, name, 'count-flows.ts', {})))
  return counts.reduce<number>((sum, counted) => sum + Counted.parse(counted).liveFlows, 0)
}

for (const [way, { before, shrink }] of Object.entries(WAYS))
  test(`three load balancers become two: flows that move keep their backend, by ${way} ECMP (rule 4)`, {
    skip,
  }, async t => {
    const name = `ecmp-${process.pid}-${way}`
    t.after(() => labDown(name))
    const lab = await labUp(name, process.pid, makeTopology(3))
    await startBackends(lab)
    await before(lab)
    const backends = backendsOf(lab, 100, 100, 50)
    for (const host of hostsOf(lab.topology, 'lb')) {
      const rows = await makeRows('lb-1', { [WEB]: { backends } })
      const settings = rows.settings!
      assert.ok(settings.kind === 'settings')
      const sources = { ipv4: `${host.addresses.ipv4}/32`, ipv6: `${host.addresses.ipv6}/128` }
      await apply(lab, host.name, { ...rows, settings: { ...settings, sources } })
    }
    const held = await hold(lab, CONNECTIONS)
    const [stay, leave] = [await countFlows(lab, 'lb-1', 'lb-2'), await countFlows(lab, 'lb-3')]
    assert.equal(stay + leave, CONNECTIONS)
    assert.ok(leave > 0)
    await shrink(lab)
    process.kill(held.program.pid, 'SIGUSR2')
    await delay(ROUND_MS)
    // A flow that came from elsewhere is one more where it is now.
    const moved = (await countFlows(lab, 'lb-1', 'lb-2')) - stay
    t.diagnostic(`${leave} of ${CONNECTIONS} flows had to move, ${moved} did`)
    assert.deepEqual(await held.stop(), { kind: 'ended', lost: {}, silent: 0 })
    if (way === 'resilient') assert.equal(moved, leave)
    else assert.ok(moved >= leave && moved < CONNECTIONS)
  })
