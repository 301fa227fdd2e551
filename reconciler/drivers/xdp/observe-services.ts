import type { RowKey, XdpServiceRow } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { changedSince, changeMap } from './changed-map.ts'
import { completeRow } from './complete-row.ts'
import type { KnownServices } from './known-services.ts'
import type { KnownRing } from './ring-store.ts'
import type { ServiceEntry, Tables } from './tables.ts'

export type ServiceRows = ReadonlyMap<RowKey, XdpServiceRow>
export type ObserveServices = (tables: Tables, known: KnownServices, breathe: Breathe) => Promise<ServiceRows>

interface Look {
  readonly services: Tables['services']
  readonly vips: Tables['vips']
  readonly known: KnownServices
  readonly rows: ServiceRows
  /** Services whose rows depend on more than their rings. */
  readonly special: ReadonlySet<RowKey>
}

/** The rows of all services; of those that are as they were, the same objects. */
export function createServiceObserver(): ObserveServices {
  let last: Look | undefined
  return async (tables, known, breathe) => {
    const { services, vips } = tables
    const isSame = last?.services === services && last.vips === vips
    const changed = isSame ? changedSince(last?.known, known) : null
    const special = new Set(changed === null ? [] : last?.special)
    const touched = changed === null ? services.keys() : new Set([...changed, ...special])
    const seen = new Map<RowKey, XdpServiceRow>()
    for (const rowKey of touched) {
      await breathe()
      const ring = known.get(rowKey)
      const row = observeService(services.get(rowKey)!, ring, tables)
      seen.set(rowKey, row)
      if (row === ring?.row) special.delete(rowKey)
      else special.add(rowKey)
    }
    const rows = changeMap<RowKey, XdpServiceRow>(changed === null ? new Map() : last!.rows, seen)
    last = { services, vips, known, rows, special }
    return rows
  }
}

/**
 * A service that is not whole has a ring of 0 slots: one without a ring, or whose VIP is missing. How many
 * services a VIP is said to have moves no packet, and is put right with the next change.
 */
function observeService({ key }: ServiceEntry, ring: KnownRing | undefined, tables: Tables): XdpServiceRow {
  if (ring === undefined) {
    const none = { slots: 0, differing: 0 }
    return { kind: 'service', ...key, encapsulation: 'ipip', ring: none, idleTimeout: 1, backends: [] }
  }
  const row = completeRow(ring, tables)
  return tables.vips.has(key.vip) ? row : { ...row, ring: { ...row.ring, slots: 0 } }
}
