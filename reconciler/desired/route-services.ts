import type { BgpRow, RowKey, Table } from '../../schemas/node-state.ts'

/** The Services that announce the prefix of a route, or of its condition, sorted by name; none: no manifest asks for it, or the key is another row's. */
export function servicesOfRoute(
  key: RowKey,
  bgp: Table<BgpRow>,
  names: Readonly<Record<RowKey, string>>,
): readonly string[] {
  const condition = bgp[key.replace(/^route\//, 'condition/')]
  if (condition?.kind !== 'condition') return []
  return [...new Set(condition.services.flatMap(service => names[service.key] ?? []))].sort()
}
