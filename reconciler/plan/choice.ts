import type { IpvsServiceRow } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import {
  buildDhTable,
  buildMhTable,
  buildShTable,
  dhSlotOf,
  HASH_SLOTS,
  type KernelBackend,
  MH_SLOTS,
  shFallbackSlots,
} from '../ring/kernel-tables.ts'
import { countSlotsOfSorted, SLOT_NONE } from '../ring/maglev.ts'
import type { ServiceView } from './service-view.ts'

/** How a service chooses the backend of a new flow; two that are equal choose in the same way, given the same backends. */
export function choiceOf({ row }: ServiceView): string {
  if (!('match' in row)) return `ring ${row.hashBy ?? 'flow'}`
  const { scheduler, schedulerFlags } = row
  return isTable(row) ? `${scheduler} ${schedulerFlags.port} ${schedulerFlags.fallback}` : scheduler
}

/** Whether it chooses by a table, which can be computed: all others go by load, or in turn. */
export const isTable = ({ scheduler }: IpvsServiceRow): boolean => ['mh', 'sh', 'dh'].includes(scheduler)

/** In the place of an address: flows of a slot whose backend is drained go to the others by their shares. */
export const SPREAD = Symbol('spread')
export type Owner = string | null | typeof SPREAD

/**
 * Who gets new flows of each slot of the kernel's table. `other`: the other side of the change, which says what weight
 * a backend that is drained had, or will have: the kernel leaves it its slots.
 */
export function ownersOf(view: ServiceView, other: ServiceView | null): Owner[] {
  const row = view.row as IpvsServiceRow
  const backends = kernelBackends(view, other)
  const nameOf = (index: number): string => view.backends[index]!.address
  const isServing = (index: number): boolean => index !== SLOT_NONE && backends[index]!.weight > 0
  switch (row.scheduler) {
    case 'mh': {
      const orphan = row.schedulerFlags.fallback && backends.some(({ weight }) => weight > 0) ? SPREAD : null
      return Array.from(buildMhTable(backends), index => (isServing(index) ? nameOf(index) : orphan))
    }
    case 'sh': {
      const table = buildShTable(backends)
      return Array.from(table, (index, slot) => {
        if (isServing(index)) return nameOf(index)
        const next = row.schedulerFlags.fallback
          ? shFallbackSlots(slot).find(each => isServing(table[each]!))
          : undefined
        return next === undefined ? null : nameOf(table[next]!)
      })
    }
    default: {
      // By the VIP: one backend has all.
      const index = buildDhTable(backends)[dhSlotOf(view.vip)]!
      return new Array<Owner>(HASH_SLOTS).fill(isServing(index) ? nameOf(index) : null)
    }
  }
}

function kernelBackends({ row }: ServiceView, other: ServiceView | null): KernelBackend[] {
  const others = new Map(
    other !== null && 'match' in other.row
      ? other.row.backends.map(({ address, port, weight }) => [`${address} ${port}`, weight])
      : [],
  )
  return (row as IpvsServiceRow).backends.map(({ address, port, weight }) => ({
    address,
    port,
    weight,
    lastWeight: weight > 0 ? weight : (others.get(`${address} ${port}`) ?? 0),
  }))
}

/** Shares of new flows by address: of a table its own, else those of the weights, which are exact for a ring. */
export function sharesOf(view: ServiceView, other: ServiceView | null): Map<string, number> {
  if ('match' in view.row && isTable(view.row)) return shareOut(ownersOf(view, other))
  const slots = countSlotsOfSorted(view.backends)
  return new Map(view.backends.map(({ address }, index) => [address, slots[index]! / RING_SLOTS]))
}

export function shareOut(owners: readonly Owner[]): Map<string, number> {
  const counts = new Map<Owner, number>()
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  const spread = counts.get(SPREAD) ?? 0
  const named = [...counts].filter((entry): entry is [string, number] => typeof entry[0] === 'string')
  const total = named.reduce((sum, [, count]) => sum + count, 0)
  return new Map(named.map(([name, count]) => [name, (count + (spread * count) / total) / owners.length]))
}

export const slotsOf = ({ scheduler }: IpvsServiceRow): number => (scheduler === 'mh' ? MH_SLOTS : HASH_SLOTS)
