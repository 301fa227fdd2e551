import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { failuresOf, startOf } from '../../reconciler/lab/measure-traffic.ts'
import { beginOutage, endOutage } from '../../reconciler/lab/outage.ts'
import { pidFileOf } from '../../reconciler/lab/routing.ts'
import { startLoad } from '../../reconciler/lab/traffic.ts'
import type { LoadEvent } from '../../schemas/lab.ts'
import { type Benchmark, milliseconds } from '../bench/benchmark.ts'
import { BALANCERS, type BgpLab, VIP, withBgpLab } from '../lab/bgp-lab.ts'

const ROUNDS = 10
const HOLD_ROUNDS = 3
/** Less than the time after which a datagram is sent again: each probe is one packet. */
const PROBE = { targets: ['udp://203.0.113.53:53'], interval: 4, timeout: 900 }

/**
 * What clients lose, by a probe of one datagram every 4 ms from a port of its own: the time between the first probe that
 * got no answer and the last; 0 when all got one. A load balancer is dead when nothing gets to it or from it, its link up.
 */
export const outageBenchmark: Benchmark = {
  names: [
    'node_dead_outage_bfd',
    'node_dead_outage_hold',
    'bird_hang_outage_bfd',
    'node_dead_route_bfd',
    'bird_hang_route_bfd',
  ],
  async run({ say }) {
    const bfd = await withBgpLab(
      async () => {},
      async bgp => ({
        dead: await repeat(ROUNDS, bgp, kill, say),
        hung: await repeat(ROUNDS, bgp, hang, say),
      }),
    )
    const hold = await withBgpLab(
      async policy => {
        for (const node of [1, 2])
          for (const family of [4, 6])
            await policy.replace(`peers/router-${node}-ipv${family}.yaml`, '  bfd: {}\n', '')
      },
      bgp => repeat(HOLD_ROUNDS, bgp, kill, say),
    )
    return [
      milliseconds(
        'node_dead_outage_bfd',
        bfd.dead.map(({ outage }) => outage),
        0.5,
      ),
      milliseconds(
        'node_dead_outage_hold',
        hold.map(({ outage }) => outage),
        0.5,
      ),
      milliseconds(
        'bird_hang_outage_bfd',
        bfd.hung.map(({ outage }) => outage),
        0.5,
      ),
      milliseconds(
        'node_dead_route_bfd',
        bfd.dead.map(({ route }) => route),
        0.5,
      ),
      milliseconds(
        'bird_hang_route_bfd',
        bfd.hung.map(({ route }) => route),
        0.5,
      ),
    ]
  },
}

interface Fault {
  readonly name: string
  begin(bgp: BgpLab): Promise<void>
  end(bgp: BgpLab): Promise<void>
}

const kill: Fault = {
  name: 'dead',
  begin: ({ lab }) => beginOutage(lab, 'lb-2'),
  end: ({ lab }) => endOutage(lab, 'lb-2'),
}

const signal = async ({ lab }: BgpLab, name: NodeJS.Signals): Promise<void> => {
  process.kill(Number.parseInt(await readFile(pidFileOf(lab, 'lb-2'), 'utf8'), 10), name)
}

const hang: Fault = {
  name: 'BIRD hangs',
  begin: bgp => signal(bgp, 'SIGSTOP'),
  end: bgp => signal(bgp, 'SIGCONT'),
}

interface Outage {
  /** ms without answers, and until the router led past. */
  readonly outage: number
  readonly route: number
}

async function repeat(
  rounds: number,
  bgp: BgpLab,
  fault: Fault,
  say: (text: string) => void,
): Promise<Outage[]> {
  const load = await startLoad(bgp.lab, PROBE)
  const outages: Outage[] = []
  for (let round = 0; round < rounds; round += 1) {
    await delay(500 + 37 * round)
    const from = Date.now()
    await fault.begin(bgp)
    const route = (await bgp.untilRouted(VIP, ['lb-1'])) - from
    // Probes of before have ended.
    await delay(2 * PROBE.timeout)
    const outage = lengthOf(load.events, from)
    await fault.end(bgp)
    await bgp.untilRouted(VIP, BALANCERS)
    await delay(2 * PROBE.timeout)
    outages.push({ outage, route })
    say(`${fault.name}: ${Math.round(outage)} ms without answers, route after ${route} ms`)
  }
  await load.stop()
  return outages
}

function lengthOf(events: readonly LoadEvent[], from: number): number {
  const lost = failuresOf(events)
    .map(startOf)
    .filter(start => start >= from - PROBE.timeout)
  return lost.length === 0 ? 0 : Math.max(...lost) - Math.min(...lost)
}
