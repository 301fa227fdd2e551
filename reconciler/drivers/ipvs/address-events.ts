import ipaddr from 'ipaddr.js'

/** That an address came or went (rtnetlink(7), RTM_NEWADDR and RTM_DELADDR), and who asked for it. */
export interface AddressEvent {
  readonly change: 'added' | 'removed'
  readonly address: string
  /** The netlink port of who asked for it; 0: the kernel itself, and all of IPv6. */
  readonly port: number
}

const HEADER_BYTES = 16
const IFADDRMSG_BYTES = 8
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const IFA_ADDRESS = 1
/** Of IPv4 on a link to one peer, the other end is IFA_ADDRESS. */
const IFA_LOCAL = 2

/** Reads what one datagram holds; what is nothing of it is left out. Numbers are in the byte order of the host, which is little-endian. */
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

function readAddress(attributes: Buffer): string | null {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= attributes.length; ) {
    const size = attributes.readUInt16LE(at)
    if (size < 4) break
    found.set(attributes.readUInt16LE(at + 2), attributes.subarray(at + 4, at + size))
    at += align(size)
  }
  const bytes = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS)
  return bytes?.length === 4 || bytes?.length === 16 ? ipaddr.fromByteArray([...bytes]).toString() : null
}

const align = (size: number): number => (size + 3) & ~3
