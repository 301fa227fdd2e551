import type { RowKey } from '../../../schemas/node-state.ts'
import type { Breathe } from '../../process/breather.ts'
import { changedSince, changeMap } from './changed-map.ts'
import type { KnownRing, RingStore } from './ring-store.ts'
import type { ServiceEntry, Tables } from './tables.ts'

export type KnownServices = ReadonlyMap<RowKey, KnownRing>

type Store = Pick<RingStore, 'read' | 'isKnown'>

interface Look {
  readonly services: Tables['services']
  readonly rings: Tables['rings']
  readonly known: KnownServices
  /** Services whose rings may be others though their maps are the same. */
  readonly loose: ReadonlySet<RowKey>
}

/** The last one by each store. */
const looks = new WeakMap<Store, Look>()

/** The ring of every service that has one of its own; what changed since the last look costs what changed. */
export async function knowServices(
  { store, breathe }: { readonly store: Store; readonly breathe: Breathe },
  tables: Tables,
): Promise<KnownServices> {
  const { services, rings } = tables
  const last = looks.get(store)
  const changed = last?.services === services ? changedSince(last.rings, rings) : null
  const loose = new Set(changed === null ? [] : last?.loose)
  const known = new Map<RowKey, KnownRing | undefined>()
  const touched = changed === null ? services.keys() : new Set([...namesOf(services, changed), ...loose])
  for (const rowKey of touched) {
    await breathe()
    const mapId = rings.get(services.get(rowKey)!.id)
    const ring = mapId === undefined ? 'unreadable' : store.read(mapId)
    known.set(rowKey, typeof ring === 'object' && ring.rowKey === rowKey ? ring : undefined)
    if (mapId === undefined || store.isKnown(mapId)) loose.delete(rowKey)
    else loose.add(rowKey)
  }
  const all = changeMap<RowKey, KnownRing>(changed === null ? new Map() : last!.known, known)
  looks.set(store, { services, rings, known: all, loose })
  return all
}

const namesById = new WeakMap<Tables['services'], ReadonlyMap<number, readonly RowKey[]>>()

/** The services that have one of these rings. */
function namesOf(services: Tables['services'], ids: ReadonlySet<number>): RowKey[] {
  const names = namesById.get(services) ?? indexNames(services)
  namesById.set(services, names)
  return [...ids].flatMap(id => names.get(id) ?? [])
}

function indexNames(services: ReadonlyMap<RowKey, ServiceEntry>): Map<number, RowKey[]> {
  const names = new Map<number, RowKey[]>()
  for (const [rowKey, { id }] of services) names.set(id, [...(names.get(id) ?? []), rowKey])
  return names
}
