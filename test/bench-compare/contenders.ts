import type { XdpRow } from '../../schemas/node-state.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../drivers/xdp-tables.ts'

/** Who forwards the packets, each in a network namespace of its own with one link to the generator. */

export const VIP = '203.0.113.1'
export const PORT = 80
export const BACKENDS = ['10.9.0.1', '10.9.0.2', '10.9.0.3']
/** The link of the load balancer, and what packets leave it by unless they go back. */
export const LINK = 'lb0'
export const OUT = 'out'

export interface Contender {
  readonly name: string
  readonly title: string
  /** Where packets are counted: sent back by the link that they came by, sent by another interface, or at their arrival. */
  readonly counted: 'returned' | 'left' | 'arrived'
  /** Attached to the link, of bpf/bench/relay.bpf.c. */
  readonly program?: 'bounce' | 'discard'
  /** Commands inside the namespace. */
  readonly commands: readonly (readonly [string, ...string[]])[]
}

const ipvs = (flag: string): Contender['commands'] => [
  ['ip', 'addr', 'add', `${VIP}/32`, 'dev', 'lo'],
  ['ipvsadm', '-A', '-u', `${VIP}:${PORT}`, '-s', 'mh', '-b', 'mh-port,mh-fallback'],
  ...BACKENDS.map(
    backend => ['ipvsadm', '-a', '-u', `${VIP}:${PORT}`, '-r', `${backend}:${PORT}`, flag] as const,
  ),
]

export const BASELINE = 'iptables_dnat'
export const OWN = 'ballast_xdp'
/** Nobody: what it takes to make packets, which is subtracted from all. */
export const GENERATOR = 'generator'

export const CONTENDERS: readonly Contender[] = [
  {
    name: 'forward',
    title: 'Linux, routing alone',
    counted: 'left',
    commands: [['ip', 'route', 'add', `${VIP}/32`, 'dev', OUT]],
  },
  {
    name: BASELINE,
    title: 'iptables DNAT',
    counted: 'left',
    commands: [
      [
        ...(['iptables-legacy', '-t', 'nat', '-A', 'PREROUTING', '-d', VIP, '-p', 'udp'] as const),
        ...['--dport', `${PORT}`, '-j', 'DNAT'],
        ...['--to-destination', `${BACKENDS[0]}-${BACKENDS.at(-1)}`],
      ],
    ],
  },
  { name: 'ipvs_nat', title: 'IPVS, NAT', counted: 'left', commands: ipvs('-m') },
  { name: 'ipvs_tunnel', title: 'IPVS, tunnel', counted: 'left', commands: ipvs('-i') },
  { name: OWN, title: 'Ballast, XDP', counted: 'returned', commands: [] },
  {
    name: 'xdp_tx',
    title: 'XDP, nothing but sent back',
    counted: 'returned',
    program: 'bounce',
    commands: [],
  },
  { name: GENERATOR, title: 'the generator', counted: 'arrived', program: 'discard', commands: [] },
]

/** What Ballast's driver is given. */
export const ROWS: Record<string, XdpRow> = tableOf(
  settingsRow({ capacity: { flows: 100_000, services: 12, members: 96 } }),
  { kind: 'interface', name: LINK, attach: 'native' },
  serviceRow({ vip: VIP, port: PORT, protocol: 'udp', backends: backendsOf(...BACKENDS) }),
)
