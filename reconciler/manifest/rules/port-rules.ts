import type { Service, ServicePort } from '../../../schemas/manifest/service.ts'
import type { ManifestOf } from '../manifest.ts'
import type { Rule, RuleContext } from './rule.ts'

/** Half of what a node has room for: a range that changes stands beside what it was until that is gone. */
const MOST_RANGES = 16
const LAST_PORT = 65_535

/** `443/tcp`, `8000-8999/tcp` */
export const nameOfPorts = ({ port, endPort, protocol }: ServicePort): string =>
  `${port}${endPort === undefined ? '' : `-${endPort}`}/${protocol}`

const portRange: Rule = {
  id: 'port-range',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services)
      for (const [index, { port, endPort }] of service.spec.ports.entries())
        if (endPort !== undefined && endPort < port)
          yield {
            at: service.locate(['spec', 'ports', index, 'endPort']),
            message: `The range of ports ends with ${endPort} before it begins with ${port}.`,
            hint: 'Write the lowest port as port and the highest as endPort.',
          }
  },
}

interface Claim {
  readonly service: ManifestOf<Service>
  readonly index: number
  readonly port: ServicePort & { readonly endPort: number }
}

const portOverlap: Rule = {
  id: 'port-overlap',
  severity: 'error',
  *check(context) {
    const told = new Set<Claim>()
    for (const claims of rangesByPlace(context).values())
      for (const [place, claim] of claims.entries()) {
        const other = claims.slice(0, place).find(each => overlaps(each, claim))
        if (other === undefined || told.has(claim)) continue
        told.add(claim)
        const at = other.service.locate(['spec', 'ports', other.index])
        yield {
          at: claim.service.locate(['spec', 'ports', claim.index]),
          message: `${nameOfPorts(claim.port)} and ${nameOfPorts(other.port)} of Service ${other.service.metadata.name} at ${at.file}:${at.line} have ports in common.`,
          hint: 'Make the ranges disjoint. One port of a range may have a service of its own, which wins; all ports get what no range has.',
        }
      }
  },
}

const portRangesMany: Rule = {
  id: 'port-ranges-many',
  severity: 'error',
  *check(context) {
    const told = new Set<Claim>()
    for (const claims of rangesByPlace(context).values()) {
      const claim = claims[MOST_RANGES]
      if (claim === undefined || told.has(claim)) continue
      told.add(claim)
      yield {
        at: claim.service.locate(['spec', 'ports', claim.index]),
        message: `A VIP can have ${MOST_RANGES} ranges of ${claim.port.protocol} ports on a node, and this is one more.`,
        hint: 'Join ranges that have the same backends, or use another VIP.',
      }
    }
  },
}

/** Services that have a range of ports, by node, VIP and protocol. */
function rangesByPlace({ services, nodes, nodesOf }: RuleContext): Map<string, Claim[]> {
  const places = new Map<string, Claim[]>()
  for (const service of services) {
    const ranged = service.spec.ports.flatMap((port, index) =>
      hasRange(port) ? [{ service, index, port }] : [],
    )
    if (ranged.length === 0) continue
    // Without any Node, services meet on the nodes that are to come.
    const onNodes = nodes.length === 0 ? ['*'] : nodesOf(service).map(({ metadata }) => metadata.name)
    for (const vip of service.spec.vip)
      for (const node of onNodes)
        for (const claim of ranged) {
          const place = `${node} ${vip} ${claim.port.protocol}`
          const claims = places.get(place)
          if (claims === undefined) places.set(place, [claim])
          else claims.push(claim)
        }
  }
  return places
}

const hasRange = (port: ServicePort): port is Claim['port'] => port.endPort !== undefined

const isAll = ({ port }: Claim): boolean => port.port === 1 && port.endPort === LAST_PORT

/** Equal ranges are told by the rules vip-unique and port-unique. */
const overlaps = (a: Claim, b: Claim): boolean =>
  isAll(a) === isAll(b) &&
  nameOfPorts(a.port) !== nameOfPorts(b.port) &&
  a.port.port <= b.port.endPort &&
  b.port.port <= a.port.endPort

export const portRules: readonly Rule[] = [portRange, portOverlap, portRangesMany]
