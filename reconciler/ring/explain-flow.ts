import ipaddr from 'ipaddr.js'
import { addressFamily } from '../../schemas/address.ts'
import type { NodeTables, RowKey, XdpServiceRow, XdpSettingsRow } from '../../schemas/node-state.ts'
import { letsIn, limitedPrefix } from './access-list.ts'
import { findService } from './find-service.ts'
import { type FleetKey, type FlowTuple, flowHash, slotHash, slotOf } from './flow-hash.ts'
import { buildRing, SLOT_NONE } from './maglev.ts'

/** The headers that would be put in front of the packet. */
export interface ExplainedEncapsulation {
  readonly kind: XdpServiceRow['encapsulation']
  /** '' of l2, which has no outer header. */
  readonly source: string
  readonly destination: string
  /** UDP ports, of GUE. */
  readonly ports: { readonly source: number; readonly destination: number } | null
}

/** What a node does with the first packet of a flow, and why. `reason` is that of the node's counters. */
export interface Explanation {
  readonly reason:
    | 'forwarded_ring'
    | 'forwarded_quic'
    | 'pass_not_vip'
    | 'pass_unmatched'
    | 'drop_unmatched'
    | 'drop_access'
    | 'drop_no_backend'
    | 'drop_no_source'
  /** Null from where the packet got no further. */
  readonly service: RowKey | null
  readonly slot: number | null
  readonly backend: string | null
  readonly encapsulation: ExplainedEncapsulation | null
  /** Above it the first packet of a flow is dropped; null: there is no limit, or the packet begins no flow. */
  readonly flowLimit: { readonly prefix: string; readonly perSecond: number; readonly burst: number } | null
}

/** A packet of a flow; of QUIC with a short header, its connection id in hex digits. */
export interface ExplainedPacket extends FlowTuple {
  readonly connectionId?: string
}

const GUE_FIRST_PORT = 0xc000
const GUE_PORT_MASK = 0x3fffn

/**
 * Works out what the program of bpf/lb.bpf.c does for a node with these rows (rule 4); of l2, for one that knows the
 * link address of every backend. Addresses are canonical text.
 */
export function explainFlow(rows: NodeTables['xdp'], key: FleetKey, tuple: ExplainedPacket): Explanation {
  const { vip, source } = tuple
  const settings = Object.values(rows).find(row => row.kind === 'settings')
  if (!Object.values(rows).some(row => row.kind === 'service' && row.vip === vip))
    return ended('pass_not_vip')
  const found = findService(rows, tuple)
  if (found === null) return ended(settings?.unmatched === 'pass' ? 'pass_unmatched' : 'drop_unmatched')
  const { key: service, row } = found
  if (row.access !== undefined && !letsIn(row.access, source)) return { ...ended('drop_access'), service }

  const named = backendOfId(row, tuple.connectionId)
  if (named !== null) {
    const encapsulation = explainEncapsulation(row, settings, named, flowHash(key, tuple))
    const reason = encapsulation === null ? 'drop_no_source' : 'forwarded_quic'
    return { reason, service, slot: null, backend: named, encapsulation, flowLimit: null }
  }
  const flowLimit = row.flowLimit
    ? {
        prefix: limitedPrefix(row.flowLimit, source),
        perSecond: row.flowLimit.perSecond,
        burst: row.flowLimit.burst,
      }
    : null
  const slot = slotOf(slotHash(key, tuple, row.hashBy))
  const index = buildRing(row.backends)[slot]
  const backend = index === undefined || index === SLOT_NONE ? undefined : row.backends[index]?.address
  if (backend === undefined) return { ...ended('drop_no_backend'), service, slot, flowLimit }
  const encapsulation = explainEncapsulation(row, settings, backend, flowHash(key, tuple))
  const reason = encapsulation === null ? 'drop_no_source' : 'forwarded_ring'
  return { reason, service, slot, backend, encapsulation, flowLimit }
}

/** The backend that a QUIC connection id names (docs/quic.md); null: none. */
function backendOfId({ quic, backends }: XdpServiceRow, connectionId: string | undefined): string | null {
  if (quic === undefined || connectionId === undefined) return null
  const bytes = Buffer.from(connectionId, 'hex')
  if (bytes.length === 0 || bytes[0]! >> 5 !== quic.configId) return null
  const rest = bytes.toString('hex', 1)
  return backends.find(({ serverId }) => serverId !== undefined && rest.startsWith(serverId))?.address ?? null
}

/** Null: the node has no source address of the backend's family. */
function explainEncapsulation(
  { encapsulation, gue }: XdpServiceRow,
  settings: XdpSettingsRow | undefined,
  backend: string,
  hash: bigint,
): ExplainedEncapsulation | null {
  if (encapsulation === 'l2') return { kind: encapsulation, source: '', destination: backend, ports: null }
  const prefix = settings?.sources[addressFamily(backend) === 4 ? 'ipv4' : 'ipv6'] ?? ''
  if (prefix === '') return null
  const source = GUE_FIRST_PORT | Number((hash >> 16n) & GUE_PORT_MASK)
  return {
    kind: encapsulation,
    source: sourceWithin(prefix, hash),
    destination: backend,
    ports: gue === undefined ? null : { source, destination: gue.port },
  }
}

const ended = (reason: Explanation['reason']): Explanation => ({
  reason,
  service: null,
  slot: null,
  backend: null,
  encapsulation: null,
  flowLimit: null,
})

/** The bits of the prefix, and after them those of the hash in its little-endian bytes, which repeat. */
function sourceWithin(prefix: string, hash: bigint): string {
  const [address, bits] = ipaddr.parseCIDR(prefix)
  const bytes = address.toByteArray().map((byte, i) => {
    const hostMask = 0xff >> Math.min(8, Math.max(0, bits - 8 * i))
    const varying = Number((hash >> BigInt(8 * (i % 8))) & 0xffn)
    return (byte & ~hostMask) | (varying & hostMask)
  })
  const text = ipaddr.fromByteArray(bytes)
  return text.kind() === 'ipv6' ? (text as ipaddr.IPv6).toRFC5952String() : text.toString()
}
