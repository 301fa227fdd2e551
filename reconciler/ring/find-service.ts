import { serviceId } from '../../schemas/address.ts'
import type { NodeTables, RowKey, XdpServiceRow } from '../../schemas/node-state.ts'
import type { FlowTuple } from './flow-hash.ts'

/** The service that takes a packet: that of its very port, else the one with the narrowest range that has it (bpf/port_ranges.h). */
export function findService(
  rows: NodeTables['xdp'],
  { vip, port, protocol }: Pick<FlowTuple, 'vip' | 'port' | 'protocol'>,
): { readonly key: RowKey; readonly row: XdpServiceRow } | null {
  const key: RowKey = `service/${serviceId(vip, port, protocol)}`
  const exact = rows[key]
  if (exact?.kind === 'service') return { key, row: exact }
  let found: { key: RowKey; row: XdpServiceRow; width: number } | null = null
  for (const [key, row] of Object.entries(rows)) {
    if (row.kind !== 'service' || row.vip !== vip || row.protocol !== protocol) continue
    if (row.endPort === undefined || port < row.port || port > row.endPort) continue
    const width = row.endPort - row.port
    if (found === null || width < found.width || (width === found.width && row.port < found.row.port))
      found = { key, row, width }
  }
  return found
}
