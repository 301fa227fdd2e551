import ipaddr from 'ipaddr.js'
import type { AnnounceSettings } from '../../schemas/manifest/announce.ts'
import type { BgpPeer } from '../../schemas/manifest/bgp-peer.ts'
import type { Node } from '../../schemas/manifest/node.ts'
import { selectNodes } from './select-nodes.ts'

/** Who announces what to whom, as manifests say it. For rules and for the rows that come of them. */

export type Family = 'ipv4' | 'ipv6'

/** Of an address or a prefix in canonical text. */
export const familyOf = (text: string): Family => (text.includes(':') ? 'ipv6' : 'ipv4')

export const familiesOf = ({ spec }: BgpPeer): readonly Family[] => spec.families ?? [familyOf(spec.address)]

/** What is announced for a VIP: the aggregate of its family, or the VIP alone. */
export function prefixFor(vip: string, { aggregate }: AnnounceSettings): string {
  const family = familyOf(vip)
  return aggregate?.find(prefix => familyOf(prefix) === family) ?? `${vip}/${family === 'ipv4' ? 32 : 128}`
}

/** A prefix is inside itself. Both in CIDR notation, of any families. */
export function isInside(prefix: string, of: string): boolean {
  const [address, bits] = ipaddr.parseCIDR(prefix)
  const [network, length] = ipaddr.parseCIDR(of)
  return address.kind() === network.kind() && bits >= length && address.match(network, length)
}

/** The nodes that a peer has sessions with: those selected, of those that speak BGP. */
export const nodesOfPeer = <N extends Node>({ spec }: BgpPeer, nodes: readonly N[]): readonly N[] =>
  selectNodes(spec.nodes, nodes).filter(node => node.spec.bgp !== undefined)

/**
 * The node's own address of a session, '' for the one that the kernel chooses. BIRD must know it for BFD over several
 * hops; null: the node does not say which it has.
 */
export function localAddressOf({ spec }: BgpPeer, node: Node): string | null {
  if (spec.localAddress !== undefined) return spec.localAddress
  if (spec.multihop === undefined || spec.bfd === undefined) return ''
  const family = familyOf(spec.address)
  return node.spec.addresses.find(address => familyOf(address) === family) ?? null
}

/** The router id of a node that speaks BGP; null: neither given, nor has it an IPv4 address. */
export const routerIdOf = ({ spec }: Node): string | null =>
  spec.bgp?.routerId ?? spec.addresses.find(address => familyOf(address) === 'ipv4') ?? null
