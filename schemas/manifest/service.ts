import { z } from 'zod'
import { HashBy, IpvsProtocol } from '../node-state.ts'
import { ServiceAccess, ServiceFlowLimit } from './access.ts'
import { Announce } from './announce.ts'
import { Backends } from './backend.ts'
import { DriftAction, DriftByKind } from './drift.ts'
import { Address, Labels, Name, Port } from './fields.ts'
import { ServiceGuards } from './guards.ts'
import { Scheduler, ServiceIpvs } from './ipvs.ts'
import { ApiVersion, Metadata } from './metadata.ts'
import { ServiceQuic } from './quic.ts'

const LAST_PORT = 65_535

const ServicePort = z
  .strictObject({
    port: z
      .union([Port, z.literal('all')])
      .describe('A port, or the first of a range: 1 to 65535. all: every port.'),
    endPort: Port.optional().describe('The last port of a range, which begins with port.'),
    protocol: IpvsProtocol.describe('tcp, udp, or sctp, which the dataplane ipvs alone has.'),
    name: Name.optional().describe('What the port is for, for people.'),
  })
  .transform(({ port, endPort = port === 'all' ? LAST_PORT : port, ...rest }) => {
    const first = port === 'all' ? 1 : port
    return { ...rest, port: first, ...(endPort !== first && { endPort }) }
  })
  .describe('A port of the VIP, a range of ports, or all of them.')
export type ServicePort = z.output<typeof ServicePort>

/** Nodes that meet all of what is given; an empty selector selects every node. */
export const NodeSelector = z
  .strictObject({
    matchLabels: Labels.optional().describe('Labels that a node must have, all of them.'),
    names: z.array(Name).min(1).optional().describe('Names of the nodes to choose from.'),
  })
  .describe('Which nodes serve it: those that meet all of what is given. Empty or absent: every node.')
export type NodeSelector = z.output<typeof NodeSelector>

const Vips = z
  .union([Address, z.array(Address).min(1).max(2)])
  .transform(vip => (Array.isArray(vip) ? vip : [vip]))
  .describe(
    'The virtual address that clients connect to: an IPv4 address, an IPv6 address, or a list of one of each.',
  )

const ServiceSpec = z.strictObject({
  vip: Vips,
  ports: z
    .array(ServicePort)
    .default([])
    .describe('The ports that are served; the VIP drops what comes to any other.'),
  nodes: NodeSelector.prefault({}),
  dataplane: z
    .enum(['xdp', 'ipvs'])
    .default('xdp')
    .describe('What forwards the packets: an XDP program, or the IPVS tables of the kernel.'),
  forwarding: z
    .enum(['ipip', 'gue', 'gre', 'l2', 'nat'])
    .default('ipip')
    .describe(
      'How packets reach the backend. ipip: inside another IP packet (RFC 2003, RFC 2473); gue: inside UDP, whose source port varies with the flow; gre: inside GRE (RFC 2784); l2: as they are, to its link-layer address; the backend answers the client directly. nat: with its address in place of the VIP; answers come back through the node.',
    ),
  gue: z
    .strictObject({
      port: Port.default(6080).describe('The UDP port at which backends expect it.'),
      variant: z
        .union([z.literal(0), z.literal(1)])
        .optional()
        .describe(
          '1: the IP packet directly in UDP, as xdp has it by default; 0: behind a header of 4 bytes, as ipvs always has it.',
        ),
      checksum: z
        .enum(['none', 'full', 'remote'])
        .optional()
        .describe(
          'The checksum of the outer UDP header. none: 0, which backends must allow over IPv6 (RFC 6935). full: of xdp, over IPv6 alone. remote, of ipvs: the receiver completes the inner one.',
        ),
    })
    .optional()
    .describe('What forwarding: gue looks like, where the defaults do not do.'),
  gre: z
    .strictObject({
      checksum: z.enum(['none', 'full']).default('none').describe('Whether GRE has a checksum.'),
    })
    .optional()
    .describe('What forwarding: gre looks like, where the defaults do not do.'),
  scheduler: Scheduler.default('maglev').describe(
    'How the backend of a new flow is chosen. maglev: by consistent hashing, the same on every node. The others are those of ipvs, by their names in ipvsadm(8).',
  ),
  ipvs: ServiceIpvs.optional(),
  mixedRings: z
    .boolean()
    .default(false)
    .describe(
      'Allows some nodes to serve the VIP and port by xdp and others by ipvs, which choose different backends for the same packet.',
    ),
  hashBy: z
    .enum(['flow', ...HashBy.options])
    .default('flow')
    .describe(
      'What chooses the backend of a new flow. flow: source and destination, addresses and ports, and the protocol; all-but-source-port; addresses: source and VIP, for all ports; source: the source address, for all VIPs and ports that have the same backends.',
    ),
  drift: DriftAction.optional(),
  driftByKind: DriftByKind,
  udpIdleTimeout: z
    .int()
    .min(1)
    .max(86_400)
    .default(120)
    .describe('Seconds without a packet after which xdp forgets a UDP flow; for ipvs the Node says it.'),
  access: ServiceAccess.optional(),
  flowLimit: ServiceFlowLimit.optional(),
  quic: ServiceQuic.optional(),
  announce: Announce.optional(),
  backends: Backends.optional().describe('The servers that share the flows, by weight. Either this or pool.'),
  pool: Name.optional().describe(
    'The name of the BackendPool that holds the backends. Either this or backends.',
  ),
  guards: ServiceGuards.optional(),
})

/** A VIP with its ports, and the backends behind it. */
export const Service = z
  .strictObject({
    apiVersion: ApiVersion,
    kind: z.literal('Service').describe('A VIP with its ports, and the backends behind it.'),
    metadata: Metadata,
    spec: ServiceSpec,
  })
  .describe('A VIP with its ports, and the backends behind it.')
export type Service = z.output<typeof Service>
