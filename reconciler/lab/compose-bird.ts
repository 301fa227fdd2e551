import { hostsOf, ROUTER, type Topology } from './topology.ts'

/** The ASes of the lab: its router's, and that of all load balancers. */
const ROUTER_ASN = 64512
const BALANCER_ASN = 64513

export interface BirdOptions {
  readonly log: string
  /** The file that Ballast writes, as a pattern. */
  readonly include: string
}

const head = (routerId: string, log: string): string[] => [
  `router id ${routerId};`,
  `log "${log}" all;`,
  'protocol device { scan time 5; }',
]

/** What an administrator has on a load balancer: all else is what Ballast writes. */
export const composeBalancerBird = (routerId: string, { log, include }: BirdOptions): string =>
  [...head(routerId, log), `include "${include}";`, ''].join('\n')

/**
 * The router: a session in each family to every load balancer, one route over all that announce a prefix, and none
 * over one that asks to be avoided while there is another (RFC 8326, section 4.2).
 */
export function composeRouterBird(topology: Topology, log: string): string {
  const { ipv4, ipv6 } = topology.vipPrefixes
  const kernel = (family: 'ipv4' | 'ipv6'): string =>
    `protocol kernel { ${family} { import none; export where source = RTS_BGP; }; merge paths on; }`
  const sessions = hostsOf(topology, 'lb').flatMap(({ name, addresses, gateway }) =>
    (['ipv4', 'ipv6'] as const).map(
      family => `protocol bgp ${sessionOf(name, family)} {
  local ${gateway[family]} as ${ROUTER_ASN};
  neighbor ${addresses[family]} as ${BALANCER_ASN};
  direct;
  hold time 9; connect retry time 1; connect delay time 1; error wait time 1, 2;
  bfd { interval 200 ms; multiplier 4; };
  ${family} { import filter of_balancers; export none; };
}`,
    ),
  )
  return [
    ...head('10.80.0.254', log),
    kernel('ipv4'),
    kernel('ipv6'),
    'protocol bfd { }',
    'filter of_balancers {',
    `  if net.type = NET_IP4 && !(net ~ [ ${ipv4}+ ]) then reject;`,
    `  if net.type = NET_IP6 && !(net ~ [ ${ipv6}+ ]) then reject;`,
    '  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;',
    '  accept;',
    '}',
    ...sessions,
    '',
  ].join('\n')
}

/** The name of the router's session with a load balancer. */
const sessionOf = (balancer: string, family: 'ipv4' | 'ipv6'): string =>
  `${balancer.replaceAll('-', '_')}_${family}`

/** Hosts of the lab that run BIRD. */
export const birdHosts = (topology: Topology): string[] => [
  ROUTER,
  ...hostsOf(topology, 'lb').map(({ name }) => name),
]
