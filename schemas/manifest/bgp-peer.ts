import { z } from 'zod'
import { Address, Port } from './fields.ts'
import { ApiVersion, Metadata } from './metadata.ts'
import { Asn } from './node-bgp.ts'
import { NodeSelector } from './service.ts'

const Bfd = z
  .strictObject({
    interval: z.int().min(10).max(60_000).default(200).describe('Between two packets, ms.'),
    multiplier: z.int().min(2).max(255).default(4).describe('Packets that may be missing.'),
  })
  .describe('BFD (RFC 5880): a dead node is seen after interval × multiplier. Absent: after the hold time.')

const Timers = z
  .strictObject({
    hold: z.int().min(3).max(65_535).default(9).describe('Seconds of silence after which a peer is dead.'),
    keepalive: z
      .int()
      .min(1)
      .max(21_845)
      .optional()
      .describe('Seconds between two signs of life. Absent: a third of hold.'),
    retry: z
      .int()
      .min(1)
      .max(300)
      .default(5)
      .describe('Seconds at most until a session that ended is tried again.'),
  })
  .prefault({})
  .describe('Of the session.')

const BgpPeerSpec = z.strictObject({
  address: Address.describe('The address of the router.'),
  localAddress: Address.optional().describe(
    'The address of the node that the session is from. Absent: the one that the kernel chooses. The same for all nodes that it selects.',
  ),
  asn: Asn.describe('The AS of the router.'),
  port: Port.default(179),
  passwordFile: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/)
    .optional()
    .describe(
      'The name of a file with the TCP-MD5 password (RFC 2385), in the folder of secrets on every node. Never the password itself.',
    ),
  multihop: z
    .int()
    .min(2)
    .max(255)
    .optional()
    .describe('How many hops away the router may be. Absent: on the same link.'),
  bfd: Bfd.optional(),
  timers: Timers,
  gracefulRestart: z
    .int()
    .min(0)
    .max(4095)
    .default(0)
    .describe(
      'Seconds for which the router keeps routes while the daemon restarts (RFC 4724). 0: not at all.',
    ),
  families: z
    .array(z.enum(['ipv4', 'ipv6']))
    .min(1)
    .max(2)
    .optional()
    .describe('Of the routes that are announced. Absent: the family of the address.'),
  exportLimit: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1000)
    .describe('The most prefixes of a family that a node announces to it.'),
  nodes: NodeSelector.prefault({}).describe(
    'Which nodes have a session with it, of those that speak BGP. Empty or absent: all of them.',
  ),
})

/** A router that load balancers announce VIPs to. */
export const BgpPeer = z
  .strictObject({
    apiVersion: ApiVersion,
    kind: z.literal('BgpPeer').describe('A router that load balancers announce VIPs to.'),
    metadata: Metadata,
    spec: BgpPeerSpec,
  })
  .describe('A router that load balancers announce VIPs to.')
export type BgpPeer = z.output<typeof BgpPeer>
