import type { RowKey } from '../../schemas/node-state.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import { eachService, type ServedService } from './each-service.ts'

type Backends = ServedService['backends']

/** What one revision takes away from the one before it; what it adds is not here. */
export interface Losses {
  /** VIPs that no node serves any more, each with a service that it was of. */
  readonly vips: readonly { readonly vip: string; readonly service: string }[]
  /** VIPs that were served. */
  readonly vipCount: number
  /** VIPs that go on, with the nodes that cease to serve them, and how many did. */
  readonly announcements: readonly {
    readonly vip: string
    readonly service: string
    readonly lost: readonly string[]
    readonly before: number
  }[]
  /** Services that go on with other backends, each once. */
  readonly services: readonly {
    readonly service: string
    readonly key: RowKey
    readonly before: Backends
    readonly after: Backends
  }[]
}

export function findLosses(before: DesiredFleet, after: DesiredFleet): Losses {
  const [was, is] = [announcersOf(before), announcersOf(after)]
  const vips: { vip: string; service: string }[] = []
  const announcements: Losses['announcements'][number][] = []
  for (const [vip, { service, nodes }] of was) {
    const still = is.get(vip)?.nodes
    if (still === undefined) {
      vips.push({ vip, service })
      continue
    }
    const lost = [...nodes].filter(node => !still.has(node))
    if (lost.length > 0) announcements.push({ vip, service, lost, before: nodes.size })
  }
  return { vips, vipCount: was.size, announcements, services: changedServices(before, after) }
}

/** Of each VIP: the service that it was found with first, and the nodes that serve it. */
export function announcersOf({
  nodes,
}: DesiredFleet): Map<string, { readonly service: string; readonly nodes: Set<string> }> {
  const found = new Map<string, { readonly service: string; readonly nodes: Set<string> }>()
  for (const [node, { state, names }] of nodes) {
    for (const { key, vip } of eachService(state.tables)) {
      const entry = found.get(vip)
      if (entry === undefined) found.set(vip, { service: names[key] ?? vip, nodes: new Set([node]) })
      else entry.nodes.add(node)
    }
  }
  return found
}

function changedServices(before: DesiredFleet, after: DesiredFleet): Losses['services'] {
  const later = servicesOf(after)
  const changed: Losses['services'][number][] = []
  for (const [key, { backends, service }] of servicesOf(before)) {
    const next = later.get(key)
    // One that is gone is a VIP or a port that goes away, and no backend of it is missing.
    if (next === undefined || next.backends === backends) continue
    changed.push({ service, key, before: backends, after: next.backends })
  }
  return changed
}

/** A service has the same row on every node. */
function servicesOf({ nodes }: DesiredFleet) {
  const found = new Map<RowKey, { readonly backends: Backends; readonly service: string }>()
  for (const { state, names } of nodes.values()) {
    for (const { key, backends } of eachService(state.tables))
      if (!found.has(key)) found.set(key, { backends, service: names[key] ?? key })
  }
  return found
}
