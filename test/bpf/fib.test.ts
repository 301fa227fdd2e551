import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { runCommand } from '../../reconciler/process/run-command.ts'
import { buildObjects, needsRoot, objectFile } from './balancer.ts'
import { encapsulatedTo } from './expected.ts'
import type { Probe, ProbeResult } from './fib-probe.ts'
import { BALANCER, type Ethernet, ROUTER } from './packet.ts'

/**
 * A namespace with two pairs of interfaces; packets come in on `in0`, and what the kernel would route leaves by
 * `out0`, or by `in0` again.
 */

const NAMESPACE = `ballast-fib-${process.pid}`
const IN_MAC = '02:00:00:00:01:00'
const OUT_MAC = '02:00:00:00:02:00'
const HOP_MAC = '02:00:00:00:02:01'
const BACK_MAC = '02:00:00:00:01:01'

const SETUP = [
  'link set lo up',
  ...(['in', 'out'] as const).flatMap(name => [
    `link add ${name}0 address ${name === 'in' ? IN_MAC : OUT_MAC} type veth peer name ${name}1`,
    `link set ${name}0 up`,
    `link set ${name}1 up`,
    `link set dev ${name}0 xdpdrv object ${objectFile('pass')} section xdp`,
  ]),
  'addr add 10.1.0.1/24 dev in0',
  'addr add 10.2.0.1/24 dev out0',
  'addr add 2001:db8:1::1/64 dev in0 nodad',
  'addr add 2001:db8:2::1/64 dev out0 nodad',
  `neigh add 10.1.0.2 lladdr ${BACK_MAC} dev in0 nud permanent`,
  `neigh add 10.2.0.2 lladdr ${HOP_MAC} dev out0 nud permanent`,
  `neigh add 2001:db8:1::2 lladdr ${BACK_MAC} dev in0 nud permanent`,
  `neigh add 2001:db8:2::2 lladdr ${HOP_MAC} dev out0 nud permanent`,
  'route add 10.9.0.0/24 via 10.2.0.2',
  'route add 10.9.1.0/24 via 10.1.0.2',
  'route add 10.9.2.0/24 via 10.2.0.2 mtu lock 600',
  'route add 10.9.3.0/24 via 10.2.0.3',
  'route add blackhole 10.9.4.0/24',
  'route add 2001:db8:90::/64 via 2001:db8:2::2',
  'route add 2001:db8:91::/64 via 2001:db8:1::2',
  'route add 2001:db8:93::/64 via 2001:db8:2::3',
  'route add blackhole 2001:db8:94::/64',
]

interface Routed {
  readonly what: string
  readonly backend: string
  readonly bytes?: number
  /** That the packet comes in on; in0 when left out. */
  readonly device?: string
  readonly action: string
  readonly counted: Readonly<Record<string, number>>
  /** Of the frame that leaves. */
  readonly ethernet?: Ethernet
}

const AWAY: Ethernet = { to: HOP_MAC, from: OUT_MAC }
const BACK: Ethernet = { to: BACK_MAC, from: IN_MAC }
const KEPT: Ethernet = { to: BALANCER, from: ROUTER }
const forwarded = { forwarded_ring: 1 }

const ROUTED: readonly Routed[] = [
  {
    what: 'by another interface',
    backend: '10.9.0.1',
    action: 'redirect',
    counted: forwarded,
    ethernet: AWAY,
  },
  {
    what: 'by another interface',
    backend: '2001:db8:90::1',
    action: 'redirect',
    counted: forwarded,
    ethernet: AWAY,
  },
  { what: 'by the same interface', backend: '10.9.1.1', action: 'tx', counted: forwarded, ethernet: BACK },
  {
    what: 'by the same interface',
    backend: '2001:db8:91::1',
    action: 'tx',
    counted: forwarded,
    ethernet: BACK,
  },
  { what: 'to a neighbour', backend: '10.2.0.2', action: 'redirect', counted: forwarded, ethernet: AWAY },
  {
    what: 'as large as the MTU of the route',
    backend: '10.9.2.1',
    bytes: 540,
    action: 'redirect',
    counted: forwarded,
    ethernet: AWAY,
  },
  {
    what: 'a byte larger than that',
    backend: '10.9.2.1',
    bytes: 541,
    action: 'drop',
    counted: { drop_too_big: 1 },
  },
  {
    what: 'to the kernel when the next hop is not resolved',
    backend: '10.9.3.1',
    action: 'pass',
    counted: { ...forwarded, egress_unresolved: 1 },
    ethernet: KEPT,
  },
  {
    what: 'to the kernel when the next hop is not resolved',
    backend: '2001:db8:93::1',
    action: 'pass',
    counted: { ...forwarded, egress_unresolved: 1 },
    ethernet: KEPT,
  },
  { what: 'nowhere: a blackhole', backend: '10.9.4.1', action: 'drop', counted: { drop_no_route: 1 } },
  { what: 'nowhere: a blackhole', backend: '2001:db8:94::1', action: 'drop', counted: { drop_no_route: 1 } },
  { what: 'nowhere: no route', backend: '192.0.2.1', action: 'drop', counted: { drop_no_route: 1 } },
  {
    what: 'nowhere: the interface does not forward',
    backend: '10.9.0.1',
    device: 'out0',
    action: 'drop',
    counted: { drop_no_route: 1 },
  },
]

const FLOW = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.10',
  port: 443,
  protocol: 'tcp',
} as const

suite('egress by the kernel routes', { skip: needsRoot }, () => {
  let results: readonly ProbeResult[]

  before(async () => {
    await buildObjects()
    await runCommand('ip', ['netns', 'add', NAMESPACE])
    const inside = (file: string, ...args: string[]) =>
      runCommand('nsenter', [`--net=/run/netns/${NAMESPACE}`, file, ...args])
    for (const line of SETUP) await inside('ip', ...line.split(' '))
    for (const [path, value] of [
      ['ipv4/ip_forward', 1],
      ['ipv6/conf/all/forwarding', 1],
      ['ipv4/conf/out0/forwarding', 0],
    ]) {
      await inside('sh', '-c', `echo ${value} > /proc/sys/net/${path}`)
    }
    const probes = ROUTED.map(
      ({ backend, bytes = 0, device = 'in0' }): Probe => ({ ...FLOW, device, backend, bytes }),
    )
    const script = new URL('fib-probe.ts', import.meta.url).pathname
    const { stdout } = await inside(process.execPath, script, JSON.stringify(probes))
    results = JSON.parse(stdout)
  })

  after(async () => {
    await runCommand('ip', ['netns', 'del', NAMESPACE], { okExitCodes: [0, 1] })
  })

  for (const [i, { what, backend, action, counted, ethernet }] of ROUTED.entries()) {
    test(`sends a packet for ${backend} ${what}`, () => {
      const { sent, frame, ...rest } = results[i]!
      assert.deepEqual(rest, { action, counted })
      if (ethernet === undefined) return
      const expected = encapsulatedTo(backend, Buffer.from(sent, 'hex'), FLOW, { ethernet })
      assert.equal(frame, expected.toString('hex'))
    })
  }
})
