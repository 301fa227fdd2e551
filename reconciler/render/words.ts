import { serviceId } from '../../schemas/address.ts'
import type { FleetPlan, LiveImpact, ServicePlan } from '../../schemas/plan.ts'

/** How things are said, the same in every rendering. */

export const shortRevision = (revision: string | null): string => revision?.slice(0, 12) ?? 'the live fleet'

export const shortDigest = (digest: string): string => digest.slice(0, 16)

export const percent = (share: number): string =>
  `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : 1)} %`

export const idOf = ({ vip, port, endPort, protocol }: ServicePlan): string =>
  serviceId(vip, port, protocol, endPort)

export const changedServices = ({ services }: FleetPlan): ServicePlan[] =>
  services.filter(({ change, renamed_from }) => change !== 'unchanged' || renamed_from !== null)

/** Less the services that stay as they are on all nodes: what Markdown says of a plan it says of this too. */
export function withoutUnchanged(plan: FleetPlan): FleetPlan {
  const changed = new Set(changedServices(plan).map(idOf))
  return { ...plan, services: plan.services.filter(service => changed.has(idOf(service))) }
}

/** Services that change alike, as those of one pool do: what is said of one of them is true of all. In order of the first. */
export function groupAlike(services: readonly ServicePlan[]): ServicePlan[][] {
  const groups = new Map<string, ServicePlan[]>()
  for (const plan of services) {
    const { change, renamed_from, risk, impact, live, details } = plan
    const same = JSON.stringify([change, renamed_from, risk, impact, live, details])
    const group = groups.get(same)
    if (group === undefined) groups.set(same, [plan])
    else group.push(plan)
  }
  return [...groups.values()]
}

/** Names written out; of more the rest is counted. */
const NAMES_SHOWN = 6

export function listNames(names: readonly string[]): string {
  if (names.length > NAMES_SHOWN) {
    return `${names.slice(0, NAMES_SHOWN - 1).join(', ')} and ${names.length - NAMES_SHOWN + 1} more`
  }
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** `others`: the nodes among which it is made another way, or not at all. */
export function describeNodes(nodes: readonly string[], count: number, others: readonly string[]): string {
  if (nodes.length === count)
    return count === 1 ? `on ${nodes[0]}` : count === 2 ? 'on both nodes' : `on all ${count} nodes`
  if (others.length > 0 && nodes.length > others.length) {
    const differ = others.length === 1 ? 'differs' : 'differ'
    return `same on ${nodes.length} of ${count}; ${listNames(others)} ${differ}`
  }
  return `on ${nodes.length} of ${count}: ${listNames(nodes)}`
}

/** Gives the nodes that have the same thing in another way. */
export function othersOf<Entry extends { readonly nodes: readonly string[] }>(
  entries: readonly Entry[],
  idOf: (entry: Entry) => string,
): (entry: Entry) => string[] {
  const groups = Map.groupBy(entries, idOf)
  return entry => {
    const group = groups.get(idOf(entry)) ?? []
    return group.length < 2 ? [] : group.flatMap(each => (each === entry ? [] : each.nodes)).sort()
  }
}

export function describeTotals({ totals, nodes, announcements }: FleetPlan): string {
  const { create, update, delete: gone, unchanged } = totals
  const parts = [`${create} to create, ${update} to change, ${gone} to delete, ${unchanged} unchanged`]
  const others = nodes.reduce((sum, each) => sum + each.nodes.length, 0)
  if (others > 0) parts.push(`${others} other ${others === 1 ? 'change' : 'changes'} on nodes`)
  if (announcements.length > 0)
    parts.push(
      `${announcements.length} ${announcements.length === 1 ? 'prefix' : 'prefixes'} announced otherwise`,
    )
  return `${parts.join('; ')}.`
}

export function describeMoves({ change, impact }: ServicePlan): string | null {
  if (change === 'unchanged') return 'no traffic effect'
  if (change !== 'update') return null
  const { basis, moved, minimum, slots } = impact
  const [share, least] = [percent(moved / slots), percent(minimum / slots)]
  switch (basis) {
    case 'weights':
      return moved === 0
        ? 'shares of new flows stay, by weights: the scheduler goes by load or in turn'
        : `moves at least ${share} of new flows, by weights: the scheduler goes by load or in turn`
    case 'independent':
      return moved === 0
        ? 'no new flow goes elsewhere'
        : `moves ${share} of new flows, since they are chosen by another hash (unavoidable: ${least})`
    default: {
      const how = basis === 'table' ? ", by the kernel's own table" : ''
      return moved === 0
        ? 'no new flow goes elsewhere'
        : `moves ${share} of new flows${how} (unavoidable: ${least})`
    }
  }
}

/** The same for a table; what is not computed slot by slot says so. */
export function describeMoved({ change, impact: { basis, moved, slots } }: ServicePlan): string {
  if (change !== 'update') return '–'
  const share = percent(moved / slots)
  switch (basis) {
    case 'weights':
      return `≥ ${share} by weights`
    case 'independent':
      return `${share} by another hash`
    default:
      return share
  }
}

export function describeFlows(live: LiveImpact): string {
  const of = `${count(live.flows)} live ${live.flows === 1 ? 'flow' : 'flows'}`
  const lost =
    live.connections_ended === 0
      ? `all of ${of} keep their backend`
      : `${percent(live.flows_lost)} of ${of} lose their backend: ${count(live.connections_ended)} must end`
  if (live.packets_per_second === null || live.packets_lost === null) return lost
  return `${lost}; ${percent(live.packets_lost)} of ${count(live.packets_per_second)} packets/s`
}

/** The sentence about the backends that stay, when one of them gets more than it ever had lately. */
export function describeLoad({ load }: LiveImpact): string | null {
  const peaks = load.map(({ at_peak }) => at_peak ?? 0).filter(share => share > 1)
  if (peaks.length === 0) return null
  const most = Math.round(100 * peaks.reduce((a, b) => Math.max(a, b)))
  const who = peaks.length === 1 ? 'one backend carries' : `${peaks.length} backends carry`
  return `after this, ${who} up to ${most}% of the most of the last two weeks when traffic is at its peak`
}

export function describeLive({ live, base }: FleetPlan): string[] {
  if (live === null) return []
  const lines: string[] = []
  if (live.nodes_silent.length > 0)
    lines.push(`${live.nodes_silent.length} nodes have not reported: ${listNames(live.nodes_silent)}`)
  for (const { key, nodes } of live.differs)
    lines.push(
      `${key} is not as ${shortRevision(base)} says on ${listNames(nodes)}: it moved since, or has drifted`,
    )
  return lines
}

const count = (value: number): string =>
  value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString('en-US') : value.toFixed(1)

export function describeRename({
  renamed_from: former,
  service,
  vip,
  port,
  endPort,
  protocol,
}: ServicePlan): string | null {
  if (former === null) return null
  if (former.service !== service) return `was called ${former.service}`
  const before = serviceId(former.vip, former.port, protocol, former.endPort)
  return `was at ${before}, now at ${serviceId(vip, port, protocol, endPort)}`
}
