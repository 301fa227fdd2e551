import { addressFamily, addressToBytes } from '../../schemas/address.ts'
import type { Protocol } from '../../schemas/node-state.ts'

/**
 * Frames as RFC 894, 791, 8200, 9293 and 768 lay them out, and what encapsulation should make of them
 * (RFC 2003, 2473): written from those, independently of the C that is tested with it.
 */

export const Tcp = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10 } as const

export const ETHERNET_BYTES = 14
const PROTOCOLS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 }

export interface Ethernet {
  readonly to: string
  readonly from: string
}

export interface PacketFields {
  readonly source: string
  readonly sourcePort: number
  readonly vip: string
  readonly port: number
  readonly protocol: Protocol
  /** Of TCP; an acknowledgement when left out. */
  readonly tcpFlags?: number
  readonly payload?: Uint8Array
  /** Type of service, or traffic class. */
  readonly traffic?: number
  /** TTL, or hop limit. */
  readonly ttl?: number
  /** IPv4 options, a multiple of 4 bytes. */
  readonly options?: Uint8Array
  /** IPv4: flags and fragment offset. */
  readonly fragment?: number
  readonly ethernet?: Ethernet
}

export const ROUTER = '02:00:00:00:00:01'
export const BALANCER = '02:00:00:00:00:02'
const TO_BALANCER: Ethernet = { to: BALANCER, from: ROUTER }

/** An Ethernet frame with one whole TCP or UDP packet, all checksums right. */
export function buildFrame(fields: PacketFields): Buffer {
  const segment = fields.protocol === 'tcp' ? tcpSegment(fields) : udpDatagram(fields)
  const pseudo = pseudoHeader(fields, segment.length)
  const checksumAt = fields.protocol === 'tcp' ? 16 : 6
  const checksum = internetChecksum(Buffer.concat([pseudo, segment]))
  segment.writeUInt16BE(fields.protocol === 'udp' && checksum === 0 ? 0xffff : checksum, checksumAt)
  return wrapTransport(fields, PROTOCOLS[fields.protocol], segment)
}

/** A frame with an IP packet of any protocol. `traffic`, `ttl`, `options` and `fragment` as in `PacketFields`. */
export function wrapTransport(
  fields: Pick<PacketFields, 'source' | 'vip' | 'traffic' | 'ttl' | 'options' | 'fragment' | 'ethernet'>,
  protocol: number,
  payload: Uint8Array,
): Buffer {
  const ipv6 = addressFamily(fields.vip) === 6
  const header = {
    source: addressToBytes(fields.source),
    destination: addressToBytes(fields.vip),
    traffic: fields.traffic ?? 0,
    ttl: fields.ttl ?? 57,
    protocol,
  }
  const ip = ipv6
    ? ipv6Header({ ...header, flowLabel: 0 }, payload.length)
    : ipv4Header(
        { ...header, id: 4711, fragment: fields.fragment ?? 0x4000, options: fields.options },
        payload.length,
      )
  return Buffer.concat([ethernetHeader(fields.ethernet ?? TO_BALANCER, ipv6), ip, payload])
}

/**
 * The frame in two: of its IP packet the first carries `bytes` behind the IP header, a multiple of 8. RFC 791,
 * 3.2; RFC 8200, 4.5. Frames that `buildFrame` makes.
 */
export function fragment(frame: Buffer, bytes: number, id = 0x1234): [first: Buffer, last: Buffer] {
  const ethernet = frame.subarray(0, ETHERNET_BYTES)
  const ip = frame.subarray(ETHERNET_BYTES)
  const ipv6 = ip.readUInt8(0) >> 4 === 6
  const headerBytes = ipv6 ? 40 : (ip.readUInt8(0) & 15) * 4
  const [header, payload] = [ip.subarray(0, headerBytes), ip.subarray(headerBytes)]
  const part = (from: number, to: number, more: number): Buffer => {
    const data = payload.subarray(from, to)
    const copy = Buffer.from(header)
    if (!ipv6) {
      copy.writeUInt16BE(headerBytes + data.length, 2)
      copy.writeUInt16BE(id & 0xffff, 4)
      copy.writeUInt16BE((more << 13) | (from / 8), 6)
      copy.writeUInt16BE(0, 10)
      copy.writeUInt16BE(internetChecksum(copy), 10)
      return Buffer.concat([ethernet, copy, data])
    }
    const extension = Buffer.alloc(8)
    extension.writeUInt8(copy.readUInt8(6), 0)
    extension.writeUInt16BE(from | more, 2)
    extension.writeUInt32BE(id, 4)
    copy.writeUInt8(44, 6)
    copy.writeUInt16BE(8 + data.length, 4)
    return Buffer.concat([ethernet, copy, extension, data])
  }
  return [part(0, bytes, 1), part(bytes, payload.length, 0)]
}

export interface Encapsulation {
  /** 4 or 16 bytes each. */
  readonly source: Uint8Array
  readonly destination: Uint8Array
  /** Of IPv6, 20 bits. */
  readonly flowLabel: number
  readonly ethernet: Ethernet
  /** UDP in between; ports and variant. */
  readonly gue?: { readonly sourcePort: number; readonly port: number; readonly variant: 0 | 1 }
}

/** The frame with an outer IP header in front of its IP packet; what trails the packet stays. */
export function encapsulate(frame: Buffer, outer: Encapsulation): Buffer {
  const inner = frame.subarray(ETHERNET_BYTES)
  const innerIpv6 = inner.readUInt8(0) >> 4 === 6
  const length = innerIpv6 ? 40 + inner.readUInt16BE(4) : inner.readUInt16BE(2)
  const traffic = innerIpv6 ? (inner.readUInt16BE(0) >> 4) & 0xff : inner.readUInt8(1)
  const ipv6 = outer.destination.length === 16
  const protocol = innerIpv6 ? 41 : 4
  const shim = outer.gue === undefined ? Buffer.alloc(0) : gueHeaders(outer.gue, protocol, length)
  const header = { ...outer, traffic, ttl: 64, protocol: outer.gue === undefined ? protocol : 17 }
  const ip = ipv6
    ? ipv6Header(header, shim.length + length)
    : ipv4Header({ ...header, id: 0, fragment: 0x4000, options: undefined }, shim.length + length)
  return Buffer.concat([ethernetHeader(outer.ethernet, ipv6), ip, shim, inner])
}

/** UDP without a checksum, and the header of variant 0 of draft-ietf-intarea-gue. */
function gueHeaders(
  { sourcePort, port, variant }: NonNullable<Encapsulation['gue']>,
  protocol: number,
  length: number,
): Buffer {
  const headers = Buffer.alloc(variant === 0 ? 12 : 8)
  headers.writeUInt16BE(sourcePort, 0)
  headers.writeUInt16BE(port, 2)
  headers.writeUInt16BE(headers.length + length, 4)
  if (variant === 0) headers.writeUInt8(protocol, 9)
  return headers
}

/** RFC 1071. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

export const linkAddress = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex')

interface IpFields {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly traffic: number
  readonly ttl: number
  readonly protocol: number
}

function ethernetHeader({ to, from }: Ethernet, ipv6: boolean): Buffer {
  return Buffer.concat([linkAddress(to), linkAddress(from), Buffer.from(ipv6 ? '86dd' : '0800', 'hex')])
}

function ipv4Header(
  fields: IpFields & { id: number; fragment: number; options: Uint8Array | undefined },
  payloadBytes: number,
): Buffer {
  const options = fields.options ?? new Uint8Array()
  const header = Buffer.alloc(20 + options.length)
  header.writeUInt8(0x40 | (header.length / 4), 0)
  header.writeUInt8(fields.traffic, 1)
  header.writeUInt16BE(header.length + payloadBytes, 2)
  header.writeUInt16BE(fields.id, 4)
  header.writeUInt16BE(fields.fragment, 6)
  header.writeUInt8(fields.ttl, 8)
  header.writeUInt8(fields.protocol, 9)
  header.set(fields.source.subarray(-4), 12)
  header.set(fields.destination.subarray(-4), 16)
  header.set(options, 20)
  header.writeUInt16BE(internetChecksum(header), 10)
  return header
}

function ipv6Header(fields: IpFields & { flowLabel: number }, payloadBytes: number): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt32BE(((6 << 28) | (fields.traffic << 20) | fields.flowLabel) >>> 0, 0)
  header.writeUInt16BE(payloadBytes, 4)
  header.writeUInt8(fields.protocol, 6)
  header.writeUInt8(fields.ttl, 7)
  header.set(fields.source, 8)
  header.set(fields.destination, 24)
  return header
}

function tcpSegment({ sourcePort, port, tcpFlags, payload }: PacketFields): Buffer {
  const header = Buffer.alloc(20)
  header.writeUInt16BE(sourcePort, 0)
  header.writeUInt16BE(port, 2)
  header.writeUInt32BE(0x12345678, 4)
  header.writeUInt32BE(0x9abcdef0, 8)
  header.writeUInt8(5 << 4, 12)
  header.writeUInt8(tcpFlags ?? Tcp.ack, 13)
  header.writeUInt16BE(0xfaf0, 14)
  return Buffer.concat([header, payload ?? new Uint8Array()])
}

function udpDatagram({ sourcePort, port, payload }: PacketFields): Buffer {
  const data = payload ?? new Uint8Array()
  const header = Buffer.alloc(8)
  header.writeUInt16BE(sourcePort, 0)
  header.writeUInt16BE(port, 2)
  header.writeUInt16BE(8 + data.length, 4)
  return Buffer.concat([header, data])
}

function pseudoHeader({ source, vip, protocol }: PacketFields, length: number): Buffer {
  const skip = addressFamily(vip) === 6 ? 0 : 12
  const end = Buffer.alloc(8)
  end.writeUInt32BE(length, 0)
  end.writeUInt8(PROTOCOLS[protocol], 7)
  return Buffer.concat([addressToBytes(source).subarray(skip), addressToBytes(vip).subarray(skip), end])
}
