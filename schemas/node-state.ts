import { z } from 'zod'

/**
 * What one load-balancer node should hold, or was seen to hold: one table per driver, the same shape for
 * both, plain JSON. A row's key says what it is; its value has no field that cannot be read back.
 */

/** `kind/identity`, for instance `service/203.0.113.10:443/tcp`, `service/[2001:db8::1]:53/udp`, `interface/eth0`, `settings`. */
export const RowKey = z.string().min(1).max(300)
export type RowKey = z.infer<typeof RowKey>

const Port = z.int().min(1).max(65535)
const Address = z.union([z.ipv4(), z.ipv6()])

export const Protocol = z.enum(['tcp', 'udp'])
export type Protocol = z.infer<typeof Protocol>

/** In canonical text (RFC 5952 for IPv6). A weight of 0 is a drained backend: no new flows, its old ones stay. */
export const RowBackend = z.strictObject({
  address: Address,
  weight: z.int().min(0).max(65535),
  /** Of a service with `quic`: the server id in the connection ids that this backend gives out, in lower-case hex digits. */
  serverId: z
    .string()
    .regex(/^([0-9a-f]{2}){1,8}$/)
    .exactOptional(),
})
export type RowBackend = z.infer<typeof RowBackend>

/**
 * Generic UDP encapsulation. Variant 1 has the IP packet directly in UDP, variant 0 a header of 4 bytes before it.
 * `checksum`: of the UDP header over IPv6; absent: 0 (RFC 6935). Over IPv4 it is 0.
 */
export const Gue = z.strictObject({
  variant: z.union([z.literal(0), z.literal(1)]),
  port: Port,
  checksum: z.literal('computed').exactOptional(),
})
export type Gue = z.infer<typeof Gue>

/** What of a packet chooses the backend of a new flow, when that is not all of its 5-tuple. */
export const HashBy = z.enum(['all-but-source-port', 'addresses', 'source'])
export type HashBy = z.infer<typeof HashBy>

/**
 * Which sources are let in: the longest prefix that holds the source decides, `otherwise` for one in none.
 * Canonical CIDR, each list sorted as text.
 */
export const Access = z.strictObject({
  otherwise: z.enum(['allow', 'deny']),
  allow: z.array(z.string()),
  deny: z.array(z.string()),
})
export type Access = z.infer<typeof Access>

/** New flows of all sources that share their first bits: so many per second, and so many at once. */
export const FlowLimit = z.strictObject({
  perSecond: z.int().min(1),
  burst: z.int().min(1),
  ipv4Bits: z.int().min(0).max(32),
  ipv6Bits: z.int().min(0).max(128),
})
export type FlowLimit = z.infer<typeof FlowLimit>

/**
 * A service of the XDP dataplane, key `service/<vip>:<port>/<protocol>`, with a range of ports
 * `service/<vip>:<port>-<endPort>/<protocol>`.
 * Backends are sorted by address (as numbers, IPv4 first), never by history.
 */
export const XdpServiceRow = z.strictObject({
  kind: z.literal('service'),
  vip: Address,
  port: Port,
  /** The last of its ports, when it has more than one. */
  endPort: Port.exactOptional(),
  protocol: Protocol,
  /** `l2`: none; the packet goes to the link address of the backend. */
  encapsulation: z.enum(['ipip', 'gue', 'l2']),
  /** With the encapsulation `gue`, and only then. */
  gue: Gue.exactOptional(),
  /** Absent: by the 5-tuple. */
  hashBy: HashBy.exactOptional(),
  /** Absent: every source is let in. */
  access: Access.exactOptional(),
  flowLimit: FlowLimit.exactOptional(),
  /** Connection ids with this config id name the backend by its `serverId`, which is then as long for all. */
  quic: z.strictObject({ configId: z.int().min(0).max(6) }).exactOptional(),
  /**
   * While the service moves between the dataplanes: IPVS keeps the connections that it has, or gets the new ones. Never in a
   * wanted row.
   */
  handover: z.enum(['from-ipvs', 'to-ipvs']).exactOptional(),
  /** `differing`: slots that are not what Maglev makes of the backends; always 0 in a desired row. */
  ring: z.strictObject({ slots: z.int(), differing: z.int() }),
  /** Seconds after which an idle UDP flow is forgotten. */
  idleTimeout: z.int().min(1),
  backends: z.array(RowBackend),
})
export type XdpServiceRow = z.infer<typeof XdpServiceRow>

/**
 * The constants of the node's program, key `settings`.
 * `sources`: the prefixes that outer source addresses are taken from, in canonical CIDR, '' for none.
 */
export const XdpSettingsRow = z.strictObject({
  kind: z.literal('settings'),
  fleet: z.string().min(1).max(63),
  /** First 16 hex digits of SHA-256 of the fleet key: the same on all nodes of a fleet, and not the secret itself. */
  fleetKey: z.string().regex(/^[0-9a-f]{16}$/),
  sources: z.strictObject({ ipv4: z.string(), ipv6: z.string() }),
  /** Largest outer packet, bytes. */
  mtu: z.int().min(576).max(65535),
  egress: z.enum(['hairpin', 'fib']),
  unmatched: z.enum(['drop', 'pass']),
  /** Absent: later fragments follow the first. */
  fragments: z.literal('drop').exactOptional(),
  /** Live flows that the table is sized for; services and members (backends over all services) that the maps hold. */
  capacity: z.strictObject({ flows: z.int().min(1), services: z.int().min(1), members: z.int().min(1) }),
})
export type XdpSettingsRow = z.infer<typeof XdpSettingsRow>

/** An interface that the program is attached to, key `interface/<name>`. Desired `auto` is met by `native` and by `generic`. */
export const XdpInterfaceRow = z.strictObject({
  kind: z.literal('interface'),
  name: z.string().min(1).max(15),
  attach: z.enum(['native', 'generic', 'auto']),
  /** The CPUs of every queue's receive packet steering, `0-3,8`. Desired: absent, whatever is there; observed: absent, `none`. */
  rps: z.string().exactOptional(),
  /**
   * The CPUs that take its packets, `0-3,8`. Desired: absent, as it would be without Ballast; observed: absent when
   * Ballast set none, `none` when what it set is gone, `uneven` when it is otherwise.
   */
  cpus: z.string().exactOptional(),
  /** Of what is there instead of the node's program: its name and id. Found, and never asked for. */
  program: z.string().exactOptional(),
})
export type XdpInterfaceRow = z.infer<typeof XdpInterfaceRow>

export const XdpRow = z.discriminatedUnion('kind', [XdpServiceRow, XdpSettingsRow, XdpInterfaceRow])
export type XdpRow = z.infer<typeof XdpRow>

/** How IPVS hands a packet to a backend; `l2` is its direct routing. `checksum` is that of the outer UDP or GRE header. */
export const IpvsForwarding = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('nat') }),
  z.strictObject({ method: z.literal('l2') }),
  z.strictObject({ method: z.literal('ipip') }),
  z.strictObject({
    method: z.literal('gue'),
    port: Port,
    checksum: z.enum(['none', 'full', 'remote']),
  }),
  z.strictObject({ method: z.literal('gre'), checksum: z.enum(['none', 'full']) }),
])
export type IpvsForwarding = z.infer<typeof IpvsForwarding>

/** A real server. Connections over `upper` are refused until there are fewer than `lower`; 0: no limit. */
export const IpvsBackend = z.strictObject({
  address: Address,
  /** That of the service, unless the forwarding is `nat`; 0 for a firewall mark. */
  port: z.int().min(0).max(65535),
  weight: z.int().min(0).max(65535),
  forwarding: IpvsForwarding,
  upper: z.int().min(0).max(0x7fffffff),
  lower: z.int().min(0).max(0x7fffffff),
})
export type IpvsBackend = z.infer<typeof IpvsBackend>

export const IpvsProtocol = z.enum(['tcp', 'udp', 'sctp'])
export type IpvsProtocol = z.infer<typeof IpvsProtocol>

export const IpvsScheduler = z.enum([
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
])
export type IpvsScheduler = z.infer<typeof IpvsScheduler>

/**
 * A virtual service of IPVS, key `service/<vip>:<port>/<protocol>`, or `fwmark/<mark>/<family>`.
 * The order of the backends is that in which they were added, where the scheduler depends on it (`mh`, `sh`, `dh`);
 * in a desired row, and for the other schedulers, it is by address and port, as in the XDP dataplane.
 */
export const IpvsServiceRow = z.strictObject({
  kind: z.literal('service'),
  /** The address, port and protocol, or the firewall mark, that packets are known by. */
  match: z.discriminatedUnion('by', [
    z.strictObject({
      by: z.literal('address'),
      vip: Address,
      port: z.int().min(0).max(65535),
      protocol: IpvsProtocol,
    }),
    z.strictObject({
      by: z.literal('fwmark'),
      mark: z.int().min(1).max(0xffffffff),
      family: z.enum(['ipv4', 'ipv6']),
    }),
  ]),
  /** One of `IpvsScheduler` in a desired row. */
  scheduler: z.string().min(1),
  /** Of `mh` and `sh`: `port` hashes the source port too, `fallback` takes the next backend where one has weight 0. */
  schedulerFlags: z.strictObject({ port: z.boolean(), fallback: z.boolean() }),
  /** Seconds, the prefix length that clients are told apart by, and a persistence engine, '' in a desired row. */
  persistence: z
    .strictObject({
      timeout: z.int().min(1),
      prefixLength: z.int().min(0).max(128),
      engine: z.string(),
    })
    .nullable(),
  /** Every UDP packet is scheduled by itself. */
  onePacket: z.boolean(),
  backends: z.array(IpvsBackend),
})
export type IpvsServiceRow = z.infer<typeof IpvsServiceRow>

/**
 * A VIP that is Ballast's, key `vip/<address>`: services of IPVS on it are read and changed, all others left alone.
 * `interface` has the address; '' in an observed row: none has it. Made first, removed last.
 */
export const IpvsVipRow = z.strictObject({
  kind: z.literal('vip'),
  address: Address,
  interface: z.string().max(15),
})
export type IpvsVipRow = z.infer<typeof IpvsVipRow>

/** Seconds after which idle connections are forgotten, key `timeouts`. */
export const IpvsTimeoutsRow = z.strictObject({
  kind: z.literal('timeouts'),
  tcp: z.int().min(1),
  tcpFin: z.int().min(1),
  udp: z.int().min(1),
})
export type IpvsTimeoutsRow = z.infer<typeof IpvsTimeoutsRow>

/** The daemon that copies connections between nodes, key `sync/<role>`. */
export const IpvsSyncRow = z.strictObject({
  kind: z.literal('sync'),
  role: z.enum(['master', 'backup']),
  interface: z.string().min(1).max(15),
  id: z.int().min(0).max(255),
  group: Address,
  port: Port,
  ttl: z.int().min(1).max(255),
  /** Largest message, bytes of payload. */
  maxLength: z.int().min(1),
})
export type IpvsSyncRow = z.infer<typeof IpvsSyncRow>

/**
 * A sysctl that Ballast owns while the row is there, key `sysctl/<name>`; its earlier value comes back afterwards. The
 * name is as sysctl(8) takes it: dots between its parts, and `/` for a dot inside one.
 */
export const IpvsSysctlRow = z.strictObject({
  kind: z.literal('sysctl'),
  name: z.string().min(1),
  value: z.string(),
})
export type IpvsSysctlRow = z.infer<typeof IpvsSysctlRow>

export const IpvsRow = z.discriminatedUnion('kind', [
  IpvsServiceRow,
  IpvsVipRow,
  IpvsTimeoutsRow,
  IpvsSyncRow,
  IpvsSysctlRow,
])
export type IpvsRow = z.infer<typeof IpvsRow>

const Asn = z.int().min(1).max(0xfffffffe)

/** The BGP daemon of the node, key `speaker`. */
export const BgpSpeakerRow = z.strictObject({
  kind: z.literal('speaker'),
  daemon: z.enum(['bird', 'gobgp']),
  asn: Asn,
  routerId: z.ipv4(),
})
export type BgpSpeakerRow = z.infer<typeof BgpSpeakerRow>

/** A session, key `peer/<name>`: as configured. Whether it is up is a fact, and no difference. */
export const BgpPeerRow = z.strictObject({
  kind: z.literal('peer'),
  name: z.string().min(1).max(63),
  address: Address,
  /** '' for the one that the kernel chooses. */
  localAddress: z.union([Address, z.literal('')]),
  asn: Asn,
  port: Port,
  /**
   * TCP-MD5 (RFC 2385): the name of a file in the node's folder of secrets. `stale`: the daemon has another password
   * than the file now; always false in a desired row.
   */
  password: z.strictObject({ file: z.string().min(1), stale: z.boolean() }).nullable(),
  /** Hops to the peer; 1 is a direct link. */
  ttl: z.int().min(1).max(255),
  /** RFC 5880; interval in ms. */
  bfd: z.strictObject({ interval: z.int().min(10), multiplier: z.int().min(1) }).nullable(),
  /** Seconds. */
  timers: z.strictObject({ hold: z.int().min(3), keepalive: z.int().min(1), retry: z.int().min(1) }),
  /** RFC 4724, seconds; 0: off. */
  gracefulRestart: z.int().min(0).max(4095),
  families: z.array(z.enum(['ipv4', 'ipv6'])).min(1),
  /** Most prefixes of a family that are exported; those above it are not. */
  exportLimit: z.int().min(1),
})
export type BgpPeerRow = z.infer<typeof BgpPeerRow>

/**
 * An announcement, key `route/<prefix>`. Observed: what was sent to each peer; a peer whose session is down counts
 * as having it while it is configured. Attributes that differ at one peer are those that are observed.
 */
export const BgpRouteRow = z.strictObject({
  kind: z.literal('route'),
  prefix: z.union([z.cidrv4(), z.cidrv6()]),
  /** Names, sorted. */
  peers: z.array(z.string()),
  /** RFC 1997, `asn:value`, sorted. */
  communities: z.array(z.string().regex(/^\d{1,5}:\d{1,5}$/)),
  /** RFC 8092, `asn:a:b`, sorted. */
  largeCommunities: z.array(z.string().regex(/^\d{1,10}:\d{1,10}:\d{1,10}$/)),
  med: z.int().min(0).max(0xffffffff).nullable(),
  /** Sent to peers of the own AS alone. */
  localPreference: z.int().min(0).max(0xffffffff).nullable(),
  /** How many times more the own AS stands in the path. */
  prepend: z.int().min(0).max(16),
})
export type BgpRouteRow = z.infer<typeof BgpRouteRow>

/**
 * When the route of this prefix is announced, key `condition/<prefix>`: while one of these services has as many
 * backends that get new flows. In desired states alone: `effectiveTables` decides and takes it out, and no driver sees it.
 */
export const BgpConditionRow = z.strictObject({
  kind: z.literal('condition'),
  prefix: z.union([z.cidrv4(), z.cidrv6()]),
  /** Keys of services of `xdp` or `ipvs`, sorted by key. */
  services: z.array(z.strictObject({ key: RowKey, minHealthyBackends: z.int().min(0) })).min(1),
})
export type BgpConditionRow = z.infer<typeof BgpConditionRow>

export const BgpRow = z.discriminatedUnion('kind', [BgpSpeakerRow, BgpPeerRow, BgpRouteRow, BgpConditionRow])
export type BgpRow = z.infer<typeof BgpRow>

export const DriverName = z.enum(['xdp', 'ipvs', 'bgp'])
export type DriverName = z.infer<typeof DriverName>

export type Table<Row> = Readonly<Record<RowKey, Row>>

export const NodeTables = z.strictObject({
  xdp: z.record(RowKey, XdpRow),
  ipvs: z.record(RowKey, IpvsRow),
  bgp: z.record(RowKey, BgpRow),
})
export type NodeTables = z.infer<typeof NodeTables>

/** The row type of every driver. */
export type Rows = { [D in DriverName]: NodeTables[D][RowKey] }

export const NODE_STATE_VERSION = 1

export const NodeState = z.strictObject({
  version: z.literal(NODE_STATE_VERSION),
  node: z.string().min(1),
  tables: NodeTables,
})
export type NodeState = z.infer<typeof NodeState>

export const emptyTables = (): NodeTables => ({ xdp: {}, ipvs: {}, bgp: {} })
