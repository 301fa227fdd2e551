/**
 * The network of the lab, as a value: every host is one link away from the router.
 *
 *     client ── router ══ lb-1, lb-2     VIP prefixes: one route over all load balancers
 *                  ├───── backend-1, backend-2, backend-3     answers go straight to the client
 *                  └───── reflector                           in the large variant
 */
export interface Host {
  readonly name: string
  readonly role: 'client' | 'lb' | 'backend' | 'reflector'
  readonly addresses: Pair
  /** The router's side of the link, whose interface there is named as the host. */
  readonly gateway: Pair
  /** Of the link, bytes; packets to a VIP grow by an outer header on the way from load balancer to backend. */
  readonly mtu: number
}

export interface Pair {
  readonly ipv4: string
  readonly ipv6: string
}

export interface Topology {
  readonly hosts: readonly Host[]
  readonly vipPrefixes: Pair
}

/** The name of a host's interface, inside its own namespace. */
export const HOST_INTERFACE = 'eth0'
export const ROUTER = 'router'
export const REFLECTOR = 'reflector'
/** A host without a network, for what talks through files alone; whatever runs on a host ends with the lab. */
export const CONTROL = 'control'

const MTU = 1500
const UNDERLAY_MTU = 1600

const subnet = (id: number): Pick<Host, 'addresses' | 'gateway'> => ({
  addresses: { ipv4: `10.80.${id}.1`, ipv6: `fd00:80:${id}::1` },
  gateway: { ipv4: `10.80.${id}.254`, ipv6: `fd00:80:${id}::fe` },
})

const numbered = (count: number, make: (n: number) => Host): Host[] =>
  Array.from({ length: count }, (_, index) => make(index + 1))

/** `lb-N` is 10.80.N.1, `backend-N` 10.80.(10+N).1, the client 10.80.100.1, the reflector 10.80.200.1; in IPv6 fd00:80:N::1 and so on. */
export const makeTopology = (balancers: number): Topology => ({
  hosts: [
    { name: 'client', role: 'client', mtu: MTU, ...subnet(100) },
    ...numbered(balancers, n => ({ name: `lb-${n}`, role: 'lb', mtu: UNDERLAY_MTU, ...subnet(n) })),
    ...numbered(3, n => ({ name: `backend-${n}`, role: 'backend', mtu: UNDERLAY_MTU, ...subnet(10 + n) })),
  ],
  vipPrefixes: { ipv4: '203.0.113.0/24', ipv6: '2001:db8::/64' },
})

/** With a route reflector, which alone load balancers and router have sessions with. */
export function makeReflectedTopology(balancers: number): Topology {
  const topology = makeTopology(balancers)
  return {
    ...topology,
    hosts: [...topology.hosts, { name: REFLECTOR, role: 'reflector', mtu: MTU, ...subnet(200) }],
  }
}

/** That of the example manifests. */
export const TOPOLOGY: Topology = makeTopology(2)

export const hostsOf = (topology: Topology, role: Host['role']): Host[] =>
  topology.hosts.filter(host => host.role === role)
