import type { Node } from '../../../schemas/manifest/node.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import type { ManifestOf } from '../manifest.ts'
import type { Rule, RuleContext } from './rule.ts'

const interfaceUnique: Rule = {
  id: 'interface-unique',
  severity: 'error',
  *check({ nodes }) {
    for (const node of nodes) {
      const seen = new Set<string>()
      for (const [index, { name }] of node.spec.interfaces.entries()) {
        if (seen.has(name))
          yield {
            at: node.locate(['spec', 'interfaces', index, 'name']),
            message: `Node ${node.metadata.name} lists the interface ${name} twice.`,
            hint: 'Remove one of the two.',
          }
        seen.add(name)
      }
    }
  },
}

const nodeCapacity: Rule = {
  id: 'node-capacity',
  severity: 'error',
  *check(context) {
    for (const [node, { services, members }] of loadOf(context)) {
      const { capacity } = node.spec
      const where = (field: string) => node.locate(['spec', 'capacity', field])
      const grow = 'or let spec.nodes of some services leave this node out.'
      if (services > capacity.services)
        yield {
          at: where('services'),
          message: `Node ${node.metadata.name} would serve ${services} services (VIP, port and protocol), and its maps hold ${capacity.services}.`,
          hint: `Raise spec.capacity.services, ${grow}`,
        }
      if (members > capacity.members)
        yield {
          at: where('members'),
          message: `Node ${node.metadata.name} would serve ${members} backends over all services, and its maps hold ${capacity.members}.`,
          hint: `Raise spec.capacity.members, ${grow}`,
        }
    }
  },
}

/** Capacity and sources are of the XDP program. */
const isOfXdp = ({ spec }: Service): boolean => spec.dataplane === 'xdp'

function loadOf({ services, nodesOf, backendsOf }: RuleContext) {
  // Services of one selector have one list of nodes.
  const byNodes = new Map<readonly ManifestOf<Node>[], { services: number; members: number }>()
  for (const service of services.filter(isOfXdp)) {
    const rows = service.spec.vip.length * service.spec.ports.length
    const nodes = nodesOf(service)
    const load = byNodes.get(nodes) ?? { services: 0, members: 0 }
    byNodes.set(nodes, load)
    load.services += rows
    load.members += rows * (backendsOf(service)?.backends.length ?? 0)
  }
  const loads = new Map<ManifestOf<Node>, { services: number; members: number }>()
  for (const [nodes, { services, members }] of byNodes)
    for (const node of nodes) {
      const load = loads.get(node) ?? { services: 0, members: 0 }
      loads.set(node, load)
      load.services += services
      load.members += members
    }
  return loads
}

const sourceMissing: Rule = {
  id: 'source-missing',
  severity: 'error',
  *check({ services, nodes, nodesOf, backendsOf }) {
    const without4 = nodes.filter(({ spec }) => spec.sources.ipv4 === undefined)
    const without6 = nodes.filter(({ spec }) => spec.sources.ipv6 === undefined)
    const asked = new Set<string>()
    for (const service of services.filter(isOfXdp)) {
      const set = backendsOf(service)
      if (set === null || service.spec.forwarding === 'l2') continue
      const lacks4 = set.firstIpv4 !== null && without4.length > 0
      const lacks6 = set.firstIpv6 !== null && without6.length > 0
      for (const node of lacks4 || lacks6 ? nodesOf(service) : []) {
        if (lacks4 && node.spec.sources.ipv4 === undefined) yield* ask(asked, node, service, 'ipv4')
        if (lacks6 && node.spec.sources.ipv6 === undefined) yield* ask(asked, node, service, 'ipv6')
      }
    }
  },
}

/** Says once for each node and family what is missing. */
function* ask(
  asked: Set<string>,
  node: ManifestOf<Node>,
  service: ManifestOf<Service>,
  family: 'ipv4' | 'ipv6',
) {
  const id = `${node.metadata.name} ${family}`
  if (asked.has(id)) return
  asked.add(id)
  const name = family === 'ipv4' ? 'IPv4' : 'IPv6'
  yield {
    at: node.locate(['spec', 'sources']),
    message: `Node ${node.metadata.name} has no ${name} source prefix, and Service ${service.metadata.name} has ${name} backends.`,
    hint: `Add spec.sources.${family}: a prefix routed to this node, or its own address.`,
  }
}

export const nodeRules: readonly Rule[] = [interfaceUnique, nodeCapacity, sourceMissing]
