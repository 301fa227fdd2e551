import { type Host, hostsOf, ROUTER, type Topology } from './topology.ts'

/** The ASes of the lab: its router's, and that of all load balancers; a reflector makes one of them. */
const ROUTER_ASN = 64512
const BALANCER_ASN = 64513

export interface BirdOptions {
  readonly log: string
  /** The file that Ballast writes, as a pattern. */
  readonly include: string
}

type Family = 'ipv4' | 'ipv6'
const FAMILIES = ['ipv4', 'ipv6'] as const

const head = (routerId: string, log: string): string[] => [
  `router id ${routerId};`,
  `log "${log}" all;`,
  'protocol device { scan time 5; }',
]

const QUICK = 'hold time 9; connect retry time 1; connect delay time 1; error wait time 1, 2;'

/** What an administrator has on a load balancer: all else is what Ballast writes. */
export const composeBalancerBird = (routerId: string, { log, include }: BirdOptions): string =>
  [...head(routerId, log), `include "${include}";`, ''].join('\n')

/**
 * The router: a session in each family to every load balancer, or to their reflector; one route over all that announce
 * a prefix, and none over one that asks to be avoided while there is another (RFC 8326, section 4.2).
 */
export function composeRouterBird(topology: Topology, log: string): string {
  const [reflector] = hostsOf(topology, 'reflector')
  const kernel = (family: Family): string =>
    `protocol kernel { ${family} { import none; export where source = RTS_BGP; }; merge paths on; }`
  return [
    ...head('10.80.0.254', log),
    kernel('ipv4'),
    kernel('ipv6'),
    'protocol bfd { }',
    ...composeFilter(topology, '  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;'),
    ...(reflector === undefined
      ? hostsOf(topology, 'lb').flatMap(host => FAMILIES.map(family => composeDirect(host, family)))
      : [
          // Next hops are load balancers: it knows the way to them by its links.
          'protocol direct { ipv4; ipv6; }',
          ...FAMILIES.map(family => composeReflected(reflector, family)),
        ]),
    '',
  ].join('\n')
}

const composeFilter = ({ vipPrefixes: { ipv4, ipv6 } }: Topology, ...lines: string[]): string[] => [
  'filter of_balancers {',
  `  if net.type = NET_IP4 && !(net ~ [ ${ipv4}+ ]) then reject;`,
  `  if net.type = NET_IP6 && !(net ~ [ ${ipv6}+ ]) then reject;`,
  ...lines,
  '  accept;',
  '}',
]

const composeDirect = ({ name, addresses, gateway }: Host, family: Family): string =>
  `protocol bgp ${sessionOf(name, family)} {
  local ${gateway[family]} as ${ROUTER_ASN};
  neighbor ${addresses[family]} as ${BALANCER_ASN};
  direct;
  ${QUICK}
  bfd { interval 200 ms; multiplier 4; };
  ${family} { import filter of_balancers; export none; };
}`

/** Every path of every prefix (RFC 7911), since one alone would be no ECMP. */
const composeReflected = ({ name, addresses, gateway }: Host, family: Family): string =>
  `protocol bgp ${sessionOf(name, family)} {
  local ${gateway[family]} as ${BALANCER_ASN};
  neighbor ${addresses[family]} as ${BALANCER_ASN};
  direct;
  ${QUICK}
  ${family} { import filter of_balancers; export none; add paths rx; };
}`

/** The reflector (RFC 4456): what load balancers announce, to the router, with the next hops that they have. It forwards nothing. */
export function composeReflectorBird(topology: Topology, reflector: Host, log: string): string {
  const { addresses, gateway } = reflector
  const clients = hostsOf(topology, 'lb').flatMap(host =>
    FAMILIES.map(
      family => `protocol bgp ${sessionOf(host.name, family)} {
  local ${addresses[family]} as ${BALANCER_ASN};
  neighbor ${host.addresses[family]} as ${BALANCER_ASN};
  multihop 2;
  rr client;
  ${QUICK}
  bfd { interval 200 ms; multiplier 4; };
  ${family} { import filter of_balancers; export none; };
}`,
    ),
  )
  const routers = FAMILIES.map(
    family => `protocol bgp ${sessionOf(ROUTER, family)} {
  local ${addresses[family]} as ${BALANCER_ASN};
  neighbor ${gateway[family]} as ${BALANCER_ASN};
  direct;
  rr client;
  ${QUICK}
  ${family} { import none; export where source = RTS_BGP; add paths tx; };
}`,
  )
  return [
    ...head(addresses.ipv4, log),
    'protocol bfd { }',
    // The way to every next hop.
    `protocol static { ipv4; route 0.0.0.0/0 via ${gateway.ipv4}; }`,
    `protocol static { ipv6; route ::/0 via ${gateway.ipv6}; }`,
    ...composeFilter(topology),
    ...clients,
    ...routers,
    '',
  ].join('\n')
}

/** The name of a session with a host. */
const sessionOf = (host: string, family: Family): string => `${host.replaceAll('-', '_')}_${family}`
