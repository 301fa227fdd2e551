import type { Ring } from './layout.ts'
import { structs } from './layout.ts'

/** The part of a ring's head that says what its service has beside: `enum ring_features` of bpf/lb_types.h, and its fields. */

const ACCESS = 1 << 0
const ACCESS_DENY = 1 << 1
const FLOW_LIMIT = 1 << 2
const QUIC = 1 << 3
const HANDOVERS = { 'from-ipvs': 1 << 4, 'to-ipvs': 1 << 5 } as const

type Features = Pick<Ring, 'access' | 'flowLimit' | 'quic' | 'handover'> & { readonly endPort?: number }

export function encodeFeatures(bytes: Buffer, { access, flowLimit, quic, handover, key }: Ring): void {
  const { fields } = structs.ring
  bytes.writeUInt16BE(key.endPort ?? 0, fields.end_port)
  let flags = handover === undefined ? 0 : HANDOVERS[handover]
  if (access !== undefined) {
    flags |= ACCESS | (access.otherwise === 'deny' ? ACCESS_DENY : 0)
    bytes.writeUInt32LE(access.list, fields.access_list)
  }
  if (flowLimit !== undefined) {
    flags |= FLOW_LIMIT
    bytes.writeUInt32LE(flowLimit.perSecond, fields.limit_rate)
    bytes.writeUInt32LE(flowLimit.burst, fields.limit_burst)
    bytes.writeUInt8(flowLimit.ipv4Bits, fields.limit_bits4)
    bytes.writeUInt8(flowLimit.ipv6Bits, fields.limit_bits6)
  }
  if (quic !== undefined) {
    flags |= QUIC
    bytes.writeUInt32LE(quic.list, fields.quic_list)
    bytes.writeUInt8(quic.configId, fields.quic_config)
    bytes.writeUInt8(quic.idBytes, fields.quic_bytes)
  }
  bytes.writeUInt8(flags, fields.features)
}

export function decodeFeatures(ring: Buffer): Features {
  const { fields } = structs.ring
  const flags = ring.readUInt8(fields.features)
  const endPort = ring.readUInt16BE(fields.end_port)
  return {
    ...(endPort !== 0 && { endPort }),
    ...((flags & HANDOVERS['from-ipvs']) !== 0 && { handover: 'from-ipvs' as const }),
    ...((flags & HANDOVERS['to-ipvs']) !== 0 && { handover: 'to-ipvs' as const }),
    ...((flags & ACCESS) !== 0 && {
      access: {
        list: ring.readUInt32LE(fields.access_list),
        otherwise: (flags & ACCESS_DENY) === 0 ? ('allow' as const) : ('deny' as const),
      },
    }),
    ...((flags & FLOW_LIMIT) !== 0 && {
      flowLimit: {
        perSecond: ring.readUInt32LE(fields.limit_rate),
        burst: ring.readUInt32LE(fields.limit_burst),
        ipv4Bits: ring.readUInt8(fields.limit_bits4),
        ipv6Bits: ring.readUInt8(fields.limit_bits6),
      },
    }),
    ...((flags & QUIC) !== 0 && {
      quic: {
        list: ring.readUInt32LE(fields.quic_list),
        configId: ring.readUInt8(fields.quic_config),
        idBytes: ring.readUInt8(fields.quic_bytes),
      },
    }),
  }
}
