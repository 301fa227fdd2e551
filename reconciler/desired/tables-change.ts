import type { NodeTables } from '../../schemas/node-state.ts'
import { findTablesChange, type TablesChange } from '../../schemas/tables-change.ts'
import { partsOf, type SharedServices } from './share-rows.ts'

type XdpChange = TablesChange['xdp']

/**
 * As `findTablesChange`, of tables of nodes as they are desired: what nodes share is compared once for all of them, and
 * not joined with what they have for themselves.
 */
export function findDesiredChange(before: NodeTables, after: NodeTables): TablesChange {
  const [was, is] = [partsOf(before), partsOf(after)]
  if (was === undefined || is === undefined) return findTablesChange(before, after)
  const { ipvs: wasIpvs, bgp: wasBgp } = before
  const { ipvs, bgp } = after
  const own = findTablesChange({ xdp: was.own, ipvs: wasIpvs, bgp: wasBgp }, { xdp: is.own, ipvs, bgp })
  const shared = findSharedChange(was.shared, is.shared)
  return {
    ...own,
    xdp: {
      put: { ...own.xdp.put, ...shared.put },
      removed: [...own.xdp.removed, ...shared.removed],
    },
  }
}

/** By what nodes share after, and before. */
const known = new WeakMap<SharedServices, WeakMap<SharedServices, XdpChange>>()

function findSharedChange(before: SharedServices, after: SharedServices): XdpChange {
  const others = known.get(after) ?? new WeakMap<SharedServices, XdpChange>()
  known.set(after, others)
  const found =
    others.get(before) ??
    findTablesChange({ xdp: before.rows, ipvs: {}, bgp: {} }, { xdp: after.rows, ipvs: {}, bgp: {} }).xdp
  others.set(before, found)
  return found
}
