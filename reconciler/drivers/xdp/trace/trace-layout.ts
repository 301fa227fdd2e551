import { addressToBytes } from '../../../../schemas/address.ts'
import type { Protocol } from '../../../../schemas/node-state.ts'
import { readAddress, reasons } from '../layout.ts'

/** What the program and `ballast trace` both see, as bpf/lb_types.h lays it out; a test compares the two. */
export const traceStructs = {
  trace_control: {
    size: 48,
    fields: {
      reasons: 0,
      rate: 8,
      until: 12,
      vip: 16,
      first_port: 32,
      last_port: 34,
      protocol: 36,
      match: 37,
      zero: 38,
      lost: 40,
      reserved: 44,
    },
  },
  trace_event: {
    size: 72,
    fields: {
      time: 0,
      source: 8,
      vip: 24,
      backend: 40,
      source_port: 56,
      port: 58,
      length: 60,
      interface: 64,
      family: 68,
      protocol: 69,
      reason: 70,
      action: 71,
    },
  },
} as const

export type Reason = (typeof reasons)[number]

/** Which packets; everything that is left out may be anything. */
export interface TraceFilter {
  readonly vip?: string
  readonly port?: number
  /** The last port; that of `port` when left out. */
  readonly endPort?: number
  readonly protocol?: Protocol
  readonly reasons?: readonly Reason[]
}

export interface TraceEvent {
  /** Of the monotonic clock, ns. */
  readonly at: bigint
  readonly reason: Reason
  readonly action: 'aborted' | 'drop' | 'pass' | 'tx' | 'redirect'
  /** `tcp`, `udp`, `icmp`, or its number. */
  readonly protocol: string
  /** Null: no IP packet. */
  readonly source: string | null
  /** Null: the protocol has none, or the packet is a later fragment. */
  readonly sourcePort: number | null
  /** The destination. */
  readonly vip: string | null
  readonly port: number | null
  /** Null: none was chosen, or it is not known (an ICMP error, by L2). */
  readonly backend: string | null
  /** Of the IP packet, bytes. */
  readonly length: number
  /** Index of the interface of arrival. */
  readonly interface: number
}

const TRACE_VIP = 1 << 0
const TRACE_PORT = 1 << 1
const TRACE_PROTOCOL = 1 << 2
const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' }
const ACTIONS = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const
const ALL_REASONS = (1n << 64n) - 1n

/** `until`: a tick; `rate`: events for each CPU in a tick, 0: off. */
export function encodeTraceControl(
  { vip, port, endPort, protocol, reasons: asked }: TraceFilter,
  { rate, until }: { rate: number; until: number },
): Buffer {
  const { size, fields } = traceStructs.trace_control
  const bytes = Buffer.alloc(size)
  const bits = asked?.reduce((all, reason) => all | (1n << BigInt(reasons.indexOf(reason))), 0n)
  bytes.writeBigUInt64LE(bits ?? ALL_REASONS, fields.reasons)
  bytes.writeUInt32LE(rate, fields.rate)
  bytes.writeUInt32LE(until, fields.until)
  if (vip !== undefined) bytes.set(addressToBytes(vip), fields.vip)
  bytes.writeUInt16LE(port ?? 0, fields.first_port)
  bytes.writeUInt16LE(endPort ?? port ?? 0, fields.last_port)
  bytes.writeUInt8(protocol === undefined ? 0 : { tcp: 6, udp: 17 }[protocol], fields.protocol)
  const match =
    (vip === undefined ? 0 : TRACE_VIP) |
    (port === undefined ? 0 : TRACE_PORT) |
    (protocol === undefined ? 0 : TRACE_PROTOCOL)
  bytes.writeUInt8(match, fields.match)
  return bytes
}

export function decodeTraceEvent(bytes: Buffer): TraceEvent {
  const { fields } = traceStructs.trace_event
  const isIp = bytes.readUInt8(fields.family) !== 0
  const protocol = bytes.readUInt8(fields.protocol)
  const backend = bytes.subarray(fields.backend, fields.backend + 16)
  const port = (at: number): number | null => bytes.readUInt16BE(at) || null
  return {
    at: bytes.readBigUInt64LE(fields.time),
    reason: reasons[bytes.readUInt8(fields.reason)]!,
    action: ACTIONS[bytes.readUInt8(fields.action)] ?? 'aborted',
    protocol: isIp ? (PROTOCOLS[protocol] ?? String(protocol)) : '',
    source: isIp ? readAddress(bytes, fields.source) : null,
    sourcePort: port(fields.source_port),
    vip: isIp ? readAddress(bytes, fields.vip) : null,
    port: port(fields.port),
    backend: backend.every(byte => byte === 0) ? null : readAddress(bytes, fields.backend),
    length: bytes.readUInt32LE(fields.length),
    interface: bytes.readUInt32LE(fields.interface),
  }
}
