import type { BgpConditionRow, BgpRow, NodeTables } from '../../schemas/node-state.ts'

/**
 * The routes that are announced with these backends: a route whose condition is not met is left out, and conditions
 * are. Several services under one prefix: one that has enough backends suffices. The very table where there are none.
 */
export function announcedRoutes(tables: NodeTables): NodeTables['bgp'] {
  const rows = Object.entries(tables.bgp)
  if (!rows.some(([, { kind }]) => kind === 'condition')) return tables.bgp
  const announced: Record<string, BgpRow> = {}
  for (const [key, row] of rows) {
    if (row.kind === 'condition') continue
    const condition = row.kind === 'route' ? tables.bgp[`condition/${row.prefix}`] : undefined
    if (condition?.kind !== 'condition' || isMet(condition, tables)) announced[key] = row
  }
  return announced
}

const isMet = ({ services }: BgpConditionRow, tables: NodeTables): boolean =>
  services.some(({ key, minHealthyBackends }) => countOpen(key, tables) >= minHealthyBackends)

/** Backends that get new flows. */
function countOpen(key: string, { xdp, ipvs }: NodeTables): number {
  const row = xdp[key] ?? ipvs[key]
  return row?.kind === 'service' ? row.backends.filter(({ weight }) => weight > 0).length : 0
}
