import { z } from 'zod'
import { CPU_LIST } from '../cpu-list.ts'
import { DriftAction, DriftByKind } from './drift.ts'
import { Address, Prefix4, Prefix6 } from './fields.ts'
import { NodeIpvs } from './ipvs.ts'
import { ApiVersion, Metadata } from './metadata.ts'
import { NodeBgp } from './node-bgp.ts'

const Cpus = [z.string().regex(CPU_LIST), z.int().min(0).max(9999)] as const

const NodeInterface = z
  .strictObject({
    name: z
      .string()
      .regex(/^[^\s/:.][^\s/:]{0,14}$/)
      .describe('The name of a network interface, as `ip link` shows it: at most 15 characters.'),
    attach: z
      .enum(['native', 'generic', 'auto'])
      .default('auto')
      .describe(
        'How the program is attached. native: by the driver of the interface, fast; generic: by the kernel, on any interface; auto: native if it can be.',
      ),
    cpus: z
      .union(Cpus)
      .optional()
      .describe(
        'The CPUs that take packets of the interface, for instance 0-3,8: of a card, by its queues and their interrupts; of veth and the like, by NAPI threads. Left out: as without Ballast.',
      ),
    rps: z
      .union([z.literal('none'), ...Cpus])
      .optional()
      .describe(
        'The CPUs that packets of the interface are spread over by their flows, for instance 0-3,8 (receive packet steering); none: by its queues alone. Left out: as it is. With attach: native the queues decide, and this is for what goes on to the kernel.',
      ),
  })
  .describe('An interface on which packets for VIPs arrive.')

/** Each number bounds kernel memory that is taken when the maps are made. */
const Capacity = z
  .strictObject({
    flows: z
      .int()
      .min(1024)
      .max(64_000_000)
      .default(1_000_000)
      .describe('Flows that may live at once with next to none displaced.'),
    services: z
      .int()
      .min(1)
      .max(65_536)
      .default(1024)
      .describe('Services: one for every VIP, port and protocol.'),
    members: z
      .int()
      .min(1)
      .max(4_000_000)
      .default(65_536)
      .describe('Backends over all services; one that serves two services counts twice.'),
  })
  .describe('What the maps in the kernel are sized for.')

const Drain = z
  .strictObject({
    shutdownTime: z
      .int()
      .min(0)
      .max(3600)
      .default(2)
      .describe(
        'Seconds for which a route asks routers to prefer others (the GRACEFUL_SHUTDOWN community, RFC 8326) before it is withdrawn.',
      ),
    timeout: z
      .int()
      .min(0)
      .max(86_400)
      .default(30)
      .describe(
        'Seconds after which what is drained goes, though connections are left: a service that is removed, a backend that leaves a service of IPVS.',
      ),
  })
  .describe('How long what goes may take.')

const NodeSpec = z.strictObject({
  interfaces: z
    .array(NodeInterface)
    .default([])
    .describe(
      'The interfaces on which packets for VIPs of xdp arrive. A node without them serves ipvs alone.',
    ),
  egress: z
    .enum(['hairpin', 'fib'])
    .default('hairpin')
    .describe(
      'Where packets leave. hairpin: back to the router that sent them, on the same interface; fib: as the routing table of the node says.',
    ),
  sources: z
    .strictObject({
      ipv4: Prefix4.optional().describe('For backends with IPv4 addresses.'),
      ipv6: Prefix6.optional().describe('For backends with IPv6 addresses.'),
    })
    .prefault({})
    .describe(
      'The prefixes that outer source addresses are taken from; the address varies with the flow, so that the network and the backend spread the load.',
    ),
  mtu: z
    .int()
    .min(576)
    .max(65_535)
    .default(1500)
    .describe(
      'The largest packet that the network carries between node and backends, outer header included, in bytes.',
    ),
  drift: DriftAction.optional(),
  driftByKind: DriftByKind,
  unmatched: z
    .enum(['drop', 'pass'])
    .default('drop')
    .describe(
      'What happens to a packet to a VIP that none of its services takes. pass: the kernel of the node gets it.',
    ),
  fragments: z
    .enum(['track', 'drop'])
    .default('track')
    .describe(
      'What happens to fragments of TCP and UDP packets. track: the first goes where the whole packet would, later ones follow it; drop: none is forwarded.',
    ),
  addresses: z
    .array(Address)
    .default([])
    .describe("The node's own addresses. None of them may be a VIP: the node would lose it."),
  capacity: Capacity.prefault({}),
  ipvs: NodeIpvs.prefault({}),
  bgp: NodeBgp.optional(),
  drain: Drain.prefault({}),
  maintenance: z
    .boolean()
    .default(false)
    .describe(
      'The node announces nothing: routers are asked to prefer others, then its routes are withdrawn. It goes on forwarding what still reaches it. false brings it back.',
    ),
})

/** A load balancer: a machine that forwards packets for VIPs. */
export const Node = z
  .strictObject({
    apiVersion: ApiVersion,
    kind: z.literal('Node').describe('A load balancer: a machine that forwards packets for VIPs.'),
    metadata: Metadata,
    spec: NodeSpec,
  })
  .describe('A load balancer: a machine that forwards packets for VIPs.')
export type Node = z.output<typeof Node>
