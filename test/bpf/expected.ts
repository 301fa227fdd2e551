import ipaddr from 'ipaddr.js'
import { type FlowTuple, flowHash, splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import { addressFamily, addressToBytes } from '../../schemas/address.ts'
import type { Gue } from '../../schemas/node-state.ts'
import { FLEET_KEY } from './balancer.ts'
import { BALANCER, type Ethernet, encapsulate, ROUTER } from './packet.ts'

/** What should leave the balancer: the frame encapsulated to a member. */
export function encapsulatedTo(
  destination: string,
  frame: Buffer,
  tuple: FlowTuple,
  {
    sources = { ipv4: '10.64.0.1/32', ipv6: '2001:db8:64::1/128' },
    fleetKey = FLEET_KEY,
    ethernet = { to: ROUTER, from: BALANCER },
    gue,
  }: {
    sources?: { ipv4: string; ipv6: string }
    fleetKey?: Uint8Array
    ethernet?: Ethernet
    gue?: Gue | undefined
  } = {},
): Buffer {
  const hash = flowHash(splitFleetKey(fleetKey), tuple)
  const ipv6 = addressFamily(destination) === 6
  return encapsulate(frame, {
    source: sourceFor(hash, ipv6 ? sources.ipv6 : sources.ipv4),
    destination: addressToBytes(destination).subarray(ipv6 ? 0 : 12),
    flowLabel: Number(hash & 0xfffffn),
    ethernet,
    ...(gue && { gue: { ...gue, sourcePort: Number((hash >> 16n) & 0x3fffn) | 0xc000 } }),
  })
}

/** The prefix's bits, and after them those of the hash in its little-endian bytes, which repeat. */
function sourceFor(hash: bigint, cidr: string): Uint8Array {
  const [address, bits] = ipaddr.parseCIDR(cidr)
  return Uint8Array.from(address.toByteArray(), (byte, i) => {
    const hostMask = 0xff >> Math.min(8, Math.max(0, bits - 8 * i))
    const varying = Number((hash >> BigInt(8 * (i % 8))) & 0xffn)
    return (byte & ~hostMask) | (varying & hostMask)
  })
}
