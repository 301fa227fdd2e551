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
export const RowBackend = z.strictObject({ address: Address, weight: z.int().min(0).max(65535) })
export type RowBackend = z.infer<typeof RowBackend>

/** Generic UDP encapsulation. Variant 1 has the IP packet directly in UDP, variant 0 a header of 4 bytes before it. */
export const Gue = z.strictObject({ variant: z.union([z.literal(0), z.literal(1)]), port: Port })
export type Gue = z.infer<typeof Gue>

/** What of a packet chooses the backend of a new flow, when that is not all of its 5-tuple. */
export const HashBy = z.enum(['all-but-source-port', 'addresses', 'source'])
export type HashBy = z.infer<typeof HashBy>

/**
 * A service of the XDP dataplane, key `service/<vip>:<port>/<protocol>`.
 * Backends are sorted by address (as numbers, IPv4 first), never by history.
 */
export const XdpServiceRow = z.strictObject({
  kind: z.literal('service'),
  vip: Address,
  port: Port,
  protocol: Protocol,
  encapsulation: z.enum(['ipip', 'gue']),
  /** With the encapsulation `gue`, and only then. */
  gue: Gue.exactOptional(),
  /** Absent: by the 5-tuple. */
  hashBy: HashBy.exactOptional(),
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
  /** Live flows that the table is sized for; services and members (backends over all services) that the maps hold. */
  capacity: z.strictObject({ flows: z.int().min(1), services: z.int().min(1), members: z.int().min(1) }),
})
export type XdpSettingsRow = z.infer<typeof XdpSettingsRow>

/** An interface that the program is attached to, key `interface/<name>`. Desired `auto` is met by `native` and by `generic`. */
export const XdpInterfaceRow = z.strictObject({
  kind: z.literal('interface'),
  name: z.string().min(1).max(15),
  attach: z.enum(['native', 'generic', 'auto']),
})
export type XdpInterfaceRow = z.infer<typeof XdpInterfaceRow>

export const XdpRow = z.discriminatedUnion('kind', [XdpServiceRow, XdpSettingsRow, XdpInterfaceRow])
export type XdpRow = z.infer<typeof XdpRow>

/**
 * Rows of `ipvs` and `bgp`: their drivers are not written yet, so no manifest can ask for one and the
 * tables are empty; the shape of the state already has their place.
 */
const NoRow = z.never()

export const DriverName = z.enum(['xdp', 'ipvs', 'bgp'])
export type DriverName = z.infer<typeof DriverName>

export type Table<Row> = Readonly<Record<RowKey, Row>>

export const NodeTables = z.strictObject({
  xdp: z.record(RowKey, XdpRow),
  ipvs: z.record(RowKey, NoRow),
  bgp: z.record(RowKey, NoRow),
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
