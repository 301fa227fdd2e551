import { CONTROL, HOST_INTERFACE, type Host, hostsOf, ROUTER, type Topology } from './topology.ts'

/** What makes one namespace into a host; all of it is input of a tool, so that a namespace costs few processes. */
export interface HostSetup {
  readonly host: string
  /** Kernel settings, a path below /proc/sys with its value, set before the addresses. */
  readonly sysctls: readonly (readonly [path: string, value: string])[]
  /** Lines for `ip -batch`. */
  readonly ip: readonly string[]
  /** Arguments for `ethtool`. */
  readonly ethtool: readonly (readonly string[])[]
  /** Interfaces that get a program that passes everything, native. */
  readonly pass: readonly string[]
  /** Arguments for `ballast`, less where its BPF file system is. */
  readonly ballast: readonly (readonly string[])[]
}

const SUBNET_BITS = { ipv4: 24, ipv6: 64 }

/** Every host, those that `Topology.hosts` leaves out too. */
export const hostNames = ({ hosts }: Topology): string[] => [
  CONTROL,
  ROUTER,
  ...hosts.map(({ name }) => name),
]

/** Lines for `ip -batch` outside all namespaces: the namespaces and the links between them. */
export function composeLinks(topology: Topology, namespace: (host: string) => string): string[] {
  return [
    ...hostNames(topology).map(name => `netns add ${namespace(name)}`),
    ...topology.hosts.map(
      ({ name, mtu }) =>
        `link add ${HOST_INTERFACE} mtu ${mtu} netns ${namespace(name)} type veth peer name ${name} mtu ${mtu} netns ${namespace(ROUTER)}`,
    ),
  ]
}

export const composeHosts = (topology: Topology): HostSetup[] => [
  composeRouter(topology),
  ...topology.hosts.map(host => composeHost(topology, host)),
]

const settings = (interfaces: readonly string[]): HostSetup['sysctls'] => [
  // Load balancers send with addresses of their own prefixes, backends answer with a VIP: no filter may mind.
  ...['all', 'default', ...interfaces].map(name => [`net/ipv4/conf/${name}/rp_filter`, '0'] as const),
  // Link-local addresses serve at once, without a second of looking for duplicates.
  ...interfaces.map(name => [`net/ipv6/conf/${name}/accept_dad`, '0'] as const),
]

function composeRouter(topology: Topology): HostSetup {
  const balancers = hostsOf(topology, 'lb')
  const over = (family: 'ipv4' | 'ipv6'): string =>
    balancers.map(({ name, addresses }) => `nexthop via ${addresses[family]} dev ${name}`).join(' ')
  return {
    host: ROUTER,
    sysctls: [
      ...settings(topology.hosts.map(({ name }) => name)),
      ['net/ipv4/ip_forward', '1'],
      ['net/ipv6/conf/all/forwarding', '1'],
      // By addresses and ports, so that connections of one client spread.
      ['net/ipv4/fib_multipath_hash_policy', '1'],
      ['net/ipv6/fib_multipath_hash_policy', '1'],
    ],
    ip: [
      'link set lo up',
      ...topology.hosts.flatMap(({ name, gateway }) => composeInterface(name, gateway)),
      `route add ${topology.vipPrefixes.ipv4} ${over('ipv4')}`,
      `route add ${topology.vipPrefixes.ipv6} ${over('ipv6')}`,
    ],
    ethtool: [],
    // veth delivers what a program sends back (XDP_TX) only to a peer that has a program too.
    pass: balancers.map(({ name }) => name),
    ballast: [],
  }
}

/** A load balancer may send from any address of its subnet. */
function composeDecap(topology: Topology): string[] {
  const allowed = hostsOf(topology, 'lb').flatMap(({ addresses: { ipv4, ipv6 } }) => [
    `${ipv4}/${SUBNET_BITS.ipv4}`,
    `${ipv6}/${SUBNET_BITS.ipv6}`,
  ])
  const { ipv4, ipv6 } = topology.vipPrefixes
  return ['decap', 'attach', HOST_INTERFACE, '--vip', ipv4, ipv6, '--allow', ...allowed]
}

function composeHost(topology: Topology, { name, role, addresses, gateway }: Host): HostSetup {
  const { ipv4, ipv6 } = topology.vipPrefixes
  const backend = role === 'backend'
  return {
    host: name,
    sysctls: [
      ...settings([HOST_INTERFACE]),
      // A server may bind to any address of the VIP prefixes.
      ...(backend
        ? ([
            ['net/ipv4/ip_nonlocal_bind', '1'],
            ['net/ipv6/ip_nonlocal_bind', '1'],
          ] as const)
        : []),
    ],
    ip: [
      'link set lo up',
      ...composeInterface(HOST_INTERFACE, addresses),
      `route add default via ${gateway.ipv4}`,
      `route add ::/0 via ${gateway.ipv6}`,
      ...(backend ? [`route add local ${ipv4} dev lo`, `route add local ${ipv6} dev lo`] : []),
    ],
    // veth leaves checksums to the receiver, who cannot complete them once the packet was encapsulated.
    ethtool: role === 'client' ? [['-K', HOST_INTERFACE, 'tx', 'off']] : [],
    pass: [],
    ballast: backend ? [composeDecap(topology)] : [],
  }
}

const composeInterface = (name: string, { ipv4, ipv6 }: Host['addresses']): string[] => [
  `link set ${name} up`,
  `address add ${ipv4}/${SUBNET_BITS.ipv4} dev ${name}`,
  `address add ${ipv6}/${SUBNET_BITS.ipv6} dev ${name} nodad`,
]
