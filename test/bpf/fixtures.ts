import { SLOT_NONE } from '../../reconciler/ring/maglev.ts'
import { type Action, type BalancerFields, member, type Reason, type ServiceFields } from './balancer.ts'
import { buildFrame, type PacketFields, Tcp, wrapTransport } from './packet.ts'

/** Packets, each with what the balancer must do with it. */

export const BACKEND4 = '10.9.0.1'
export const BACKEND6 = '2001:db8:9::1'
export const VIP4 = '203.0.113.10'
export const VIP6 = '2001:db8:ffff::10'

const service = (
  vip: string,
  port: number,
  protocol: 'tcp' | 'udp',
  backend: string,
  slots = 0,
): ServiceFields => ({ vip, port, protocol, members: [member(backend)], slots })

export const SERVICES: readonly ServiceFields[] = [
  service(VIP4, 443, 'tcp', BACKEND4),
  service(VIP4, 53, 'udp', BACKEND4),
  service(VIP4, 8443, 'tcp', BACKEND6),
  service(VIP4, 853, 'udp', BACKEND6),
  service(VIP6, 443, 'tcp', BACKEND6),
  service(VIP6, 53, 'udp', BACKEND6),
  service(VIP6, 8443, 'tcp', BACKEND4),
  service(VIP6, 853, 'udp', BACKEND4),
  service(VIP4, 81, 'tcp', BACKEND4, SLOT_NONE),
  service(VIP4, 82, 'tcp', BACKEND4, 7),
]

export const from4 = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: VIP4,
  port: 443,
  protocol: 'tcp',
} as const
export const from6 = {
  source: '2001:db8:1::7',
  sourcePort: 40_000,
  vip: VIP6,
  port: 443,
  protocol: 'tcp',
} as const
export const payload = Buffer.from('the quick brown fox jumps over the lazy dog')

/** A packet to a service, and the backend that must get it. */
export interface Forwarded {
  readonly what: string
  readonly packet: PacketFields
  readonly to: string
  readonly trailer?: number
  readonly settings?: BalancerFields['settings']
}

export const FORWARDED: readonly Forwarded[] = [
  { what: '4in4: TCP, a SYN', packet: { ...from4, tcpFlags: Tcp.syn }, to: BACKEND4 },
  { what: '4in4: TCP with data', packet: { ...from4, payload }, to: BACKEND4 },
  { what: '4in4: UDP', packet: { ...from4, port: 53, protocol: 'udp', payload }, to: BACKEND4 },
  { what: '4in6: TCP', packet: { ...from4, port: 8443, payload }, to: BACKEND6 },
  { what: '4in6: UDP', packet: { ...from4, port: 853, protocol: 'udp', payload }, to: BACKEND6 },
  { what: '6in6: TCP, a SYN', packet: { ...from6, tcpFlags: Tcp.syn }, to: BACKEND6 },
  { what: '6in6: TCP with data', packet: { ...from6, payload }, to: BACKEND6 },
  { what: '6in6: UDP', packet: { ...from6, port: 53, protocol: 'udp', payload }, to: BACKEND6 },
  { what: '6in4: TCP', packet: { ...from6, port: 8443, payload }, to: BACKEND4 },
  { what: '6in4: UDP', packet: { ...from6, port: 853, protocol: 'udp', payload }, to: BACKEND4 },
  { what: '4in4: type of service copied', packet: { ...from4, traffic: 0xbb, payload }, to: BACKEND4 },
  { what: '4in6: type of service copied', packet: { ...from4, port: 8443, traffic: 0xbb }, to: BACKEND6 },
  { what: '6in6: traffic class copied', packet: { ...from6, traffic: 0xbb, payload }, to: BACKEND6 },
  { what: '6in4: traffic class copied', packet: { ...from6, port: 8443, traffic: 0xbb }, to: BACKEND4 },
  { what: 'the TTL of the inner packet is left', packet: { ...from4, ttl: 1 }, to: BACKEND4 },
  { what: 'the hop limit of the inner packet is left', packet: { ...from6, ttl: 1 }, to: BACKEND6 },
  { what: 'UDP without data', packet: { ...from4, port: 53, protocol: 'udp' }, to: BACKEND4 },
  { what: 'IPv4 options', packet: { ...from4, options: Buffer.alloc(40, 1), payload }, to: BACKEND4 },
  { what: 'without "don\'t fragment"', packet: { ...from4, fragment: 0 }, to: BACKEND4 },
  { what: 'Ethernet padding is not part of the outer packet', packet: from4, to: BACKEND4, trailer: 6 },
  { what: 'as large as the MTU', packet: { ...from4, payload: Buffer.alloc(1440) }, to: BACKEND4 },
  {
    what: 'the IPv4 source varies within its prefix',
    packet: from4,
    to: BACKEND4,
    settings: { sources: { ipv4: '10.64.0.0/10', ipv6: '' } },
  },
  {
    what: 'the IPv6 source varies within its prefix',
    packet: from6,
    to: BACKEND6,
    settings: { sources: { ipv4: '', ipv6: '2001:db8:64::/52' } },
  },
  {
    what: 'the IPv6 source varies within a prefix longer than 64 bits',
    packet: { ...from6, sourcePort: 40_001 },
    to: BACKEND6,
    settings: { sources: { ipv4: '', ipv6: '2001:db8:64:0:1::/75' } },
  },
]

/** A packet that is not forwarded, and what becomes of it. */
export interface Refused {
  readonly what: string
  readonly frame: Buffer
  readonly action: Action
  readonly reason: Reason
  readonly settings?: BalancerFields['settings']
}

/** A frame with other bytes at a place. */
function patched(frame: Buffer, at: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(frame)
  copy.set(bytes, at)
  return copy
}

export const tcp4 = buildFrame({ ...from4, payload })
const tcp6 = buildFrame({ ...from6, payload })
const ETHERTYPE = 12
const IP = 14

export const REFUSED: readonly Refused[] = [
  { what: 'ARP', frame: patched(tcp4, ETHERTYPE, 0x08, 0x06), action: 'pass', reason: 'pass_not_ip' },
  { what: 'MPLS', frame: patched(tcp4, ETHERTYPE, 0x88, 0x47), action: 'pass', reason: 'pass_not_ip' },
  { what: 'IPv4 that says 6', frame: patched(tcp4, IP, 0x65), action: 'pass', reason: 'pass_not_ip' },
  { what: 'IPv6 that says 4', frame: patched(tcp6, IP, 0x45), action: 'pass', reason: 'pass_not_ip' },
  {
    what: 'another IPv4 destination, on a port of a service',
    frame: buildFrame({ ...from4, vip: '203.0.113.11' }),
    action: 'pass',
    reason: 'pass_not_vip',
  },
  {
    what: 'another IPv6 destination',
    frame: buildFrame({ ...from6, vip: '2001:db8:ffff::11' }),
    action: 'pass',
    reason: 'pass_not_vip',
  },
  {
    what: 'a fragment to another destination',
    frame: buildFrame({ ...from4, vip: '203.0.113.11', fragment: 0x2000 }),
    action: 'pass',
    reason: 'pass_not_vip',
  },
  {
    what: 'a neighbour solicitation: its group is no VIP',
    frame: wrapTransport(
      {
        source: 'fe80::1',
        vip: 'ff02::1:ff00:10',
        ethernet: { to: '33:33:ff:00:00:10', from: '02:00:00:00:00:01' },
      },
      58,
      Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(16)]),
    ),
    action: 'pass',
    reason: 'pass_not_vip',
  },
  {
    what: 'a packet to a service in a frame to a link-layer group',
    frame: patched(tcp4, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    action: 'pass',
    reason: 'pass_not_vip',
  },
  {
    what: 'a VIP, another port',
    frame: buildFrame({ ...from4, port: 444 }),
    action: 'drop',
    reason: 'drop_unmatched',
  },
  {
    what: 'a VIP, another protocol',
    frame: buildFrame({ ...from4, protocol: 'udp' }),
    action: 'drop',
    reason: 'drop_unmatched',
  },
  {
    what: 'a VIP, another port, where these pass',
    frame: buildFrame({ ...from6, port: 444 }),
    action: 'pass',
    reason: 'pass_unmatched',
    settings: { unmatched: 'pass' },
  },
  {
    what: 'ICMP that is neither an error nor an echo request',
    frame: wrapTransport(from4, 1, Buffer.from([13, 0, 0xf2, 0xff, 0, 0, 0, 0])),
    action: 'drop',
    reason: 'drop_unmatched',
  },
  {
    what: 'IPv6 with a hop-by-hop header to a VIP',
    frame: wrapTransport(from6, 0, Buffer.concat([Buffer.from([6, 0, 1, 4, 0, 0, 0, 0]), tcp6.subarray(54)])),
    action: 'drop',
    reason: 'drop_unmatched',
  },
  {
    what: 'IPv4 that says its protocol is the fragment header of IPv6',
    frame: wrapTransport(from4, 44, Buffer.alloc(40)),
    action: 'drop',
    reason: 'drop_unmatched',
  },
  {
    what: 'the first fragment, where they are not tracked',
    frame: buildFrame({ ...from4, payload, fragment: 0x2000 }),
    action: 'drop',
    reason: 'drop_fragment',
    settings: { fragments: 'drop' },
  },
  {
    what: 'the last fragment, where they are not tracked',
    frame: buildFrame({ ...from4, payload, fragment: 185 }),
    action: 'drop',
    reason: 'drop_fragment',
    settings: { fragments: 'drop' },
  },
  {
    what: 'a fragment, where what is unmatched passes',
    frame: buildFrame({ ...from4, payload, fragment: 185 }),
    action: 'drop',
    reason: 'drop_fragment',
    settings: { unmatched: 'pass', fragments: 'drop' },
  },
  {
    what: 'an IPv6 fragment, where they are not tracked',
    frame: wrapTransport(
      from6,
      44,
      Buffer.concat([Buffer.from([6, 0, 0, 1, 0, 0, 0, 1]), tcp6.subarray(54)]),
    ),
    action: 'drop',
    reason: 'drop_fragment',
    settings: { fragments: 'drop' },
  },
  {
    what: 'an IPv4 header shorter than the least',
    frame: patched(tcp4, IP, 0x44),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'an IPv4 packet shorter than its header',
    frame: patched(tcp4, IP + 2, 0, 19),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'an IPv4 packet longer than its frame',
    frame: patched(tcp4, IP + 2, 0xff, 0xff),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'an IPv4 packet too short for TCP in a frame that is not',
    frame: patched(tcp4, IP + 2, 0, 39),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'an IPv4 packet too short for UDP in a frame that is not',
    frame: patched(buildFrame({ ...from4, port: 53, protocol: 'udp', payload }), IP + 2, 0, 27),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'an IPv6 packet longer than its frame',
    frame: patched(tcp6, IP + 4, 0xff, 0xff),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'an IPv6 packet too short for TCP in a frame that is not',
    frame: patched(tcp6, IP + 4, 0, 19),
    action: 'drop',
    reason: 'drop_malformed',
  },
  {
    what: 'a slot that names no member',
    frame: buildFrame({ ...from4, port: 81 }),
    action: 'drop',
    reason: 'drop_no_backend',
  },
  {
    what: 'a slot that names a free index',
    frame: buildFrame({ ...from4, port: 82 }),
    action: 'drop',
    reason: 'drop_no_backend',
  },
  {
    what: '4in4, a byte larger than the MTU, to be sent in fragments',
    frame: buildFrame({ ...from4, payload: Buffer.alloc(1441), fragment: 0 }),
    action: 'drop',
    reason: 'drop_too_big_no_df',
  },
  {
    what: '6in6, larger than an MTU that leaves less than IPv6 needs',
    frame: buildFrame({ ...from6, payload: Buffer.alloc(1201) }),
    action: 'drop',
    reason: 'drop_too_big',
    settings: { mtu: 1300 },
  },
  {
    what: 'a small packet with a trailer that is larger than the MTU',
    frame: Buffer.concat([tcp4, Buffer.alloc(1441 - payload.length)]),
    action: 'drop',
    reason: 'drop_too_big',
  },
  {
    what: 'an IPv4 member, and no IPv4 source',
    frame: tcp4,
    action: 'drop',
    reason: 'drop_no_source',
    settings: { sources: { ipv4: '', ipv6: '2001:db8:64::/64' } },
  },
  {
    what: 'an IPv6 member, and no IPv6 source',
    frame: tcp6,
    action: 'drop',
    reason: 'drop_no_source',
    settings: { sources: { ipv4: '10.64.0.0/16', ipv6: '' } },
  },
]
