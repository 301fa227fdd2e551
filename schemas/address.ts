import ipaddr from 'ipaddr.js'

/**
 * IP addresses as text and as 16 bytes in network byte order, IPv4 as its IPv4-mapped IPv6 address
 * (RFC 4291, 2.5.5.2): the form of the BPF maps. Everything here throws `TypeError` on what is no address.
 */

const DOTTED_QUAD = /^(0|[1-9]\d*)(\.(0|[1-9]\d*)){3}$/

/** Stricter than ipaddr.js, which takes `1` and `0x7f.1` for addresses. */
function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 {
  try {
    if (DOTTED_QUAD.test(text)) return ipaddr.IPv4.parse(text)
    if (text.includes(':')) return ipaddr.process(text)
  } catch (cause) {
    throw new TypeError(`${text} is no IP address`, { cause })
  }
  throw new TypeError(`${text} is no IP address`)
}

/** Dotted quad, or RFC 5952. An IPv4-mapped IPv6 address becomes its IPv4 address. */
export function canonicalAddress(text: string): string {
  const address = parse(text)
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString()
}

export const addressFamily = (text: string): 4 | 6 => (parse(text).kind() === 'ipv4' ? 4 : 6)

/** ::ffff:0:0/96 */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const

export function addressToBytes(text: string): Uint8Array {
  // Of hundreds of thousands, what ipaddr.js takes for each would be felt.
  const octets = DOTTED_QUAD.test(text) ? text.split('.').map(Number) : null
  const address = octets?.every(octet => octet <= 255) ? null : parse(text)
  if (address instanceof ipaddr.IPv6) return Uint8Array.from(address.toByteArray())
  const bytes = new Uint8Array(16)
  bytes.set(MAPPED)
  bytes.set(address?.octets ?? octets!, MAPPED.length)
  return bytes
}

/** Of an address as `addressToBytes` gives it. */
export const familyOfBytes = (bytes: Uint8Array): 4 | 6 =>
  MAPPED.every((byte, i) => byte === bytes[i]) ? 4 : 6

export function addressFromBytes(bytes: Uint8Array): string {
  if (familyOfBytes(bytes) === 4) return bytes.subarray(MAPPED.length).join('.')
  return canonicalAddress(ipaddr.fromByteArray([...bytes]).toString())
}

/** By family (IPv4 first), then as numbers. */
export function compareAddresses(a: string, b: string): number {
  return addressFamily(a) - addressFamily(b) || Buffer.compare(addressToBytes(a), addressToBytes(b))
}

/** `203.0.113.10:443/tcp`, `[2001:db8::1]:53/udp`, with a last port other than the first `203.0.113.10:8000-8999/tcp`. */
export const serviceId = (vip: string, port: number, protocol: string, endPort?: number): string =>
  `${addressFamily(vip) === 6 ? `[${vip}]` : vip}:${port}${endPort === undefined ? '' : `-${endPort}`}/${protocol}`
