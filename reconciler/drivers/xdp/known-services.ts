import type { RowKey } from '../../../schemas/node-state.ts'
import type { Breathe } from './breather.ts'
import type { KnownRing, RingStore } from './ring-store.ts'
import type { Tables } from './tables.ts'

/** The ring of every service that has one of its own. */
export async function knowServices(
  { store, breathe }: { readonly store: RingStore; readonly breathe: Breathe },
  tables: Tables,
): Promise<Map<RowKey, KnownRing>> {
  const known = new Map<RowKey, KnownRing>()
  for (const [rowKey, { id }] of tables.services) {
    const mapId = tables.rings.get(id)
    if (mapId !== undefined && !store.isKnown(mapId)) await breathe()
    const ring = mapId === undefined ? 'unreadable' : store.read(mapId)
    if (typeof ring === 'object' && ring.rowKey === rowKey) known.set(rowKey, ring)
  }
  return known
}
