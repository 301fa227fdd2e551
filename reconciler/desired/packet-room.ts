import type { RowKey, XdpServiceRow } from '../../schemas/node-state.ts'
import type { DesiredFleet } from './build-desired.ts'

/** How large packets to a VIP may be, on the node with the smallest `mtu` and to the backend with the longest header. */
export interface PacketRoom {
  readonly service: string
  readonly vip: string
  readonly encapsulation: XdpServiceRow['encapsulation']
  /** Of the node, bytes. */
  readonly mtu: number
  /** Bytes that are put in front. */
  readonly overhead: number
  /** The largest packet that fits, bytes; what is larger is answered or dropped. */
  readonly packet: number
  /** What backends must limit the MSS of TCP to, bytes; null: the VIP serves no TCP. */
  readonly mss: number | null
}

/** RFC 791, 8200, 9293: without options, which an MSS does not count (RFC 6691). */
const IPV4_HEADER = 20
const IPV6_HEADER = 40
const TCP_HEADER = 20
const UDP_HEADER = 8
const GUE_0_HEADER = 4

/** One for every VIP of every service that XDP forwards, in the order of the services. */
export function computePacketRoom({ nodes }: DesiredFleet): PacketRoom[] {
  const least = new Map<XdpServiceRow, { mtu: number; service: string }>()
  for (const { state, names } of nodes.values()) {
    const { settings } = state.tables.xdp
    if (settings?.kind !== 'settings') continue
    // Nodes share rows.
    for (const [key, row] of Object.entries(state.tables.xdp)) {
      if (row.kind !== 'service') continue
      const known = least.get(row)
      if (known === undefined || settings.mtu < known.mtu)
        least.set(row, { mtu: settings.mtu, service: serviceOf(names, key) })
    }
  }
  const found = new Map<string, PacketRoom>()
  for (const [row, { mtu, service }] of least) {
    const room = roomOf(row, service, mtu)
    const id = `${service} ${row.vip}`
    const other = found.get(id)
    found.set(id, other === undefined ? room : narrower(other, room))
  }
  return [...found.values()].sort((a, b) => (`${a.service} ${a.vip}` < `${b.service} ${b.vip}` ? -1 : 1))
}

const serviceOf = (names: Readonly<Record<RowKey, string>>, key: RowKey): string => names[key] ?? key

function roomOf(row: XdpServiceRow, service: string, mtu: number): PacketRoom {
  const { vip, encapsulation, protocol } = row
  const overhead = overheadOf(row)
  const packet = mtu - overhead
  const headers = (vip.includes(':') ? IPV6_HEADER : IPV4_HEADER) + TCP_HEADER
  return {
    service,
    vip,
    encapsulation,
    mtu,
    overhead,
    packet,
    mss: protocol === 'tcp' ? packet - headers : null,
  }
}

/** Of the backend with the longest header. Canonical IPv6 addresses always have a colon. */
function overheadOf({ encapsulation, gue, backends }: XdpServiceRow): number {
  if (encapsulation === 'l2') return 0
  const ipv6 = backends.some(({ address }) => address.includes(':'))
  const shim = gue === undefined ? 0 : UDP_HEADER + (gue.variant === 0 ? GUE_0_HEADER : 0)
  return (ipv6 ? IPV6_HEADER : IPV4_HEADER) + shim
}

/** Of two of one VIP, the one with less room; TCP on one port is TCP on the VIP. */
function narrower(a: PacketRoom, b: PacketRoom): PacketRoom {
  const [least, most] = b.packet < a.packet ? [b, a] : [a, b]
  const mss = least.mss ?? (most.mss === null ? null : most.mss - (most.packet - least.packet))
  return { ...least, mss }
}
