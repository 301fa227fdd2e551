import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { type Lab, labDown, labUp } from '../../reconciler/lab/lab.ts'
import { mirrorNextHops, type NextHopMirror } from '../../reconciler/lab/mirror-next-hops.ts'
import { birdPlace, pidFileOf, startRouting } from '../../reconciler/lab/routing.ts'
import { type Host, hostsOf, makeTopology } from '../../reconciler/lab/topology.ts'
import { startBackends } from '../../reconciler/lab/traffic.ts'
import { waitUntil } from '../../reconciler/lab/wait-until.ts'
import { untilRouted } from '../../reconciler/lab/watch-routes.ts'
import { VIP } from './bgp-lab.ts'
import { backendsOf, hold } from './client-programs.ts'
import { apply, makeRows, runOn, skip, WEB } from './xdp-lab.ts'

const CONNECTIONS = 300
/** Every connection sends two lines in it. */
const ROUND_MS = 1_200
const Counted = z.object({ liveFlows: z.number() })

const OTHERS = ['lb-1', 'lb-2']
const ALL = [...OTHERS, 'lb-3']

/** What Ballast would write for its BIRD: the VIP goes to the router. */
const composeAnnouncement = ({ addresses, gateway }: Host): string =>
  `protocol static { ipv4; route ${VIP}/32 blackhole; }
protocol bgp tor {
  local ${addresses.ipv4} as 64513; neighbor ${gateway.ipv4} as 64512; direct; connect delay time 1;
  ipv4 { import none; export where source = RTS_STATIC; next hop self; };
}
`

/** By BGP, as its BIRD is killed. */
async function loseThird(lab: Lab, mirror: NextHopMirror | null): Promise<void> {
  process.kill(Number.parseInt(await readFile(pidFileOf(lab, 'lb-3'), 'utf8'), 10), 'SIGKILL')
  await untilRouted(lab, VIP, OTHERS)
  if (mirror !== null)
    await waitUntil(
      { what: 'the group to be of two', deadline: 10_000 },
      () => mirror.mirrored(VIP).join() === OTHERS.join() || null,
    )
}

/** How the router spreads flows: by BIRD's multipath routes, or by groups that are made of them. */
const WAYS: Readonly<Record<string, (lab: Lab) => Promise<NextHopMirror | null>>> = {
  plain: async () => null,
  resilient: mirrorNextHops,
}

async function countFlows(lab: Lab, ...names: string[]): Promise<number> {
  const counts = await Promise.all(names.map(name => runOn(lab, name, 'count-flows.ts', {})))
  return counts.reduce<number>((sum, counted) => sum + Counted.parse(counted).liveFlows, 0)
}

for (const [way, begin] of Object.entries(WAYS))
  test(`three load balancers become two: flows that move keep their backend, by ${way} ECMP (rule 4)`, {
    skip,
  }, async t => {
    const name = `ecmp-${process.pid}-${way}`
    t.after(() => labDown(name))
    const lab = await labUp(name, process.pid, makeTopology(3))
    await startBackends(lab)
    for (const host of hostsOf(lab.topology, 'lb')) {
      const { file } = birdPlace(lab, host.name)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, composeAnnouncement(host))
    }
    await startRouting(lab)
    await untilRouted(lab, VIP, ALL)
    await using mirror = await begin(lab)
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
    await loseThird(lab, mirror)
    process.kill(held.program.pid, 'SIGUSR2')
    await delay(ROUND_MS)
    // A flow that came from elsewhere is one more where it is now.
    const moved = (await countFlows(lab, 'lb-1', 'lb-2')) - stay
    t.diagnostic(`${leave} of ${CONNECTIONS} flows had to move, ${moved} did`)
    assert.deepEqual(await held.stop(), { kind: 'ended', lost: {}, silent: 0 })
    if (way === 'resilient') assert.equal(moved, leave)
    else assert.ok(moved >= leave && moved < CONNECTIONS)
  })
