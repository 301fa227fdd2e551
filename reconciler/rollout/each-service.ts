import type { NodeTables, RowKey } from '../../schemas/node-state.ts'

/** What forwards for a VIP, whichever dataplane it is. */
export interface ServedService {
  readonly key: RowKey
  readonly vip: string
  /** The same list for the same row: two lists that are one are equal. Sorted by address. */
  readonly backends: readonly { readonly address: string; readonly weight: number }[]
}

/** The services of a node; a firewall mark has no VIP of its own. */
export function* eachService({ xdp, ipvs }: NodeTables): Generator<ServedService> {
  for (const key in xdp) {
    const row = xdp[key]!
    if (row.kind === 'service') yield { key, vip: row.vip, backends: row.backends }
  }
  for (const key in ipvs) {
    const row = ipvs[key]!
    if (row.kind === 'service' && row.match.by === 'address')
      yield { key, vip: row.match.vip, backends: row.backends }
  }
}
