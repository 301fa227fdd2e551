import ipaddr from 'ipaddr.js'
import { align, HEADER_BYTES, readAttributes } from '../xdp/libbpf/netlink.ts'

/** That an address came or went (rtnetlink(7), RTM_NEWADDR and RTM_DELADDR), and who asked for it. */
export interface AddressEvent {
  readonly change: 'added' | 'removed'
  readonly address: string
  /** The netlink port of who asked for it; 0: the kernel itself, and all of IPv6. */
  readonly port: number
}

const IFADDRMSG_BYTES = 8
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const IFA_ADDRESS = 1
/** Of IPv4 on a link to one peer, the other end is IFA_ADDRESS. */
const IFA_LOCAL = 2

/** Reads what one datagram holds; what is nothing of it is left out. */
export function decodeAddressEvents(datagram: Buffer): AddressEvent[] {
  const events: AddressEvent[] = []
  for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
    const size = datagram.readUInt32LE(at)
    if (size < HEADER_BYTES || at + size > datagram.length) break
    const type = datagram.readUInt16LE(at + 4)
    if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const address = readAddress(datagram.subarray(at + HEADER_BYTES + IFADDRMSG_BYTES, at + size))
      const change = type === RTM_NEWADDR ? 'added' : 'removed'
      if (address !== null) events.push({ change, address, port: datagram.readUInt32LE(at + 12) })
    }
    at += align(size)
  }
  return events
}

function readAddress(bytes: Buffer): string | null {
  const attributes = readAttributes(bytes)
  const address = attributes?.get(IFA_LOCAL) ?? attributes?.get(IFA_ADDRESS)
  return address?.length === 4 || address?.length === 16
    ? ipaddr.fromByteArray([...address]).toString()
    : null
}
