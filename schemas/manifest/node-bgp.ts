import { z } from 'zod'

/** 0, and the last of all, are nobody's (RFC 7607, RFC 7300). */
export const Asn = z.int().min(1).max(0xfffffffe).describe('An AS number: 1 to 4294967294.')

/** What a node needs to speak BGP. */
export const NodeBgp = z
  .strictObject({
    daemon: z
      .enum(['bird', 'gobgp'])
      .default('bird')
      .describe('The BGP daemon of the node. gobgp has no BFD.'),
    asn: Asn.describe('The AS of the node.'),
    routerId: z
      .ipv4()
      .optional()
      .describe('The router id, unique among the peers. Absent: the first IPv4 address of spec.addresses.'),
  })
  .describe('How the node speaks BGP. Absent: it announces nothing.')
export type NodeBgp = z.output<typeof NodeBgp>
