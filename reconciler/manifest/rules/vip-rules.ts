import ipaddr from 'ipaddr.js'
import { serviceId } from '../../../schemas/address.ts'
import type { Fleet } from '../../../schemas/manifest/fleet.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import type { ManifestOf, ValuePath } from '../manifest.ts'
import { createPathMatcher } from '../select-files.ts'
import { nameOfPorts } from './port-rules.ts'
import type { Rule } from './rule.ts'

interface Claim {
  readonly service: ManifestOf<Service>
  readonly path: ValuePath
}

const vipUnique: Rule = {
  id: 'vip-unique',
  severity: 'error',
  *check({ services, nodes, nodesOf }) {
    // Without any Node, services meet on the nodes that are to come.
    const placesOf = (service: ManifestOf<Service>): readonly unknown[] =>
      nodes.length === 0 ? ['*'] : nodesOf(service)
    // For every VIP, port and protocol: who claims it. Most have one, and on which nodes does not matter then.
    const claims = new Map<string, Claim[]>()
    for (const service of services) {
      for (const { id, path } of claimsOf(service)) {
        const earlier = claims.get(id) ?? []
        claims.set(id, earlier)
        const clash = findClash(service, earlier, placesOf)
        earlier.push({ service, path })
        if (clash === undefined) continue
        const other = clash.service.locate(clash.path)
        yield {
          at: service.locate(path),
          message: `${id} is also claimed by ${clash.service.metadata.name} at ${other.file}:${other.line}.`,
          hint: 'Give one of them another port, another VIP, or nodes that the other does not have.',
        }
      }
    }
  },
}

/** The first of the others who claims the same on a node of this service. */
function findClash(
  service: ManifestOf<Service>,
  earlier: readonly Claim[],
  placesOf: (service: ManifestOf<Service>) => readonly unknown[],
): Claim | undefined {
  if (earlier.length === 0) return undefined
  const sides = earlier.map(claim => ({ claim, places: new Set(placesOf(claim.service)) }))
  for (const place of placesOf(service)) {
    const first = sides.find(({ places }) => places.has(place))
    if (first !== undefined && first.claim.service !== service) return first.claim
  }
  return undefined
}

const portUnique: Rule = {
  id: 'port-unique',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services) {
      const seen = new Set<string>()
      for (const [index, port] of service.spec.ports.entries()) {
        const name = nameOfPorts(port)
        if (seen.has(name))
          yield {
            at: service.locate(['spec', 'ports', index, 'port']),
            message: `Service ${service.metadata.name} lists ${name} twice.`,
            hint: 'Remove one of the two.',
          }
        seen.add(name)
      }
    }
  },
}

const vipFamilies: Rule = {
  id: 'vip-families',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services) {
      const [first, second] = service.spec.vip
      if (first !== undefined && second !== undefined && first.includes(':') === second.includes(':'))
        yield {
          at: service.locate(['spec', 'vip', 1]),
          message: `${first} and ${second} are of the same family, and a service has one VIP of each at most.`,
          hint: 'Make a second Service with the other VIP; a BackendPool lets them share the backends.',
        }
    }
  },
}

const vipIsNodeAddress: Rule = {
  id: 'vip-is-node-address',
  severity: 'error',
  *check({ services, nodes }) {
    const owners = new Map(
      nodes.flatMap(node => node.spec.addresses.map(address => [address, node] as const)),
    )
    for (const service of services)
      for (const [index, vip] of service.spec.vip.entries()) {
        const owner = owners.get(vip)
        if (owner !== undefined)
          yield {
            at: service.locate(['spec', 'vip', index]),
            message: `${vip} is an address of Node ${owner.metadata.name} itself, which would no longer be reached by it.`,
            hint: 'Choose an address that no machine has.',
          }
      }
  },
}

const vipAllowed: Rule = {
  id: 'vip-allowed',
  severity: 'error',
  *check({ services, fleets }) {
    const [fleet] = fleets
    if (fleet === undefined || fleet.spec.vipPrefixes.length === 0) return
    const ranges = readRanges(fleet)
    for (const service of services)
      for (const [index, vip] of service.spec.vip.entries()) {
        const address = ipaddr.parse(vip)
        const holding = ranges.filter(range => range.holds(address))
        const longest = Math.max(...holding.map(({ bits }) => bits))
        const deciding = holding.filter(({ bits }) => bits === longest)
        if (deciding.some(range => range.allows(service.at.file))) continue
        const prefixes = ranges.map(({ prefix }) => prefix).join(', ')
        yield {
          at: service.locate(['spec', 'vip', index]),
          message:
            deciding.length === 0
              ? `${vip} is in none of the prefixes that the Fleet allows.`
              : `${vip} is in ${deciding[0]!.prefix}, which the Fleet keeps for other files.`,
          hint:
            deciding.length === 0
              ? `Choose a VIP in ${prefixes}, or add its prefix to spec.vipPrefixes of the Fleet.`
              : `Choose another VIP, or move the manifest to ${deciding.flatMap(({ paths }) => paths).join(' or ')}.`,
        }
      }
  },
}

interface Range {
  readonly prefix: string
  readonly bits: number
  readonly paths: readonly string[]
  holds(address: ipaddr.IPv4 | ipaddr.IPv6): boolean
  allows(file: string): boolean
}

function readRanges(fleet: ManifestOf<Fleet>): Range[] {
  return fleet.spec.vipPrefixes.map(({ prefix, paths }) => {
    const [base, bits] = ipaddr.parseCIDR(prefix)
    return {
      prefix,
      bits,
      paths: paths ?? [],
      holds: address => address.kind() === base.kind() && address.match(base, bits),
      allows: paths === undefined ? () => true : createPathMatcher(paths),
    }
  })
}

type Place = { readonly id: string; readonly path: ValuePath }

/** By what does not change: ten thousand of them are asked for at every push. */
const known = new WeakMap<Service['spec'], readonly Place[]>()

function claimsOf({ spec }: Service): readonly Place[] {
  const claims =
    known.get(spec) ??
    spec.vip.flatMap(vip =>
      spec.ports.map(({ port, endPort, protocol }, index) => ({
        id: serviceId(vip, port, protocol, endPort),
        path: ['spec', 'ports', index, 'port'],
      })),
    )
  known.set(spec, claims)
  return claims
}

export const vipRules: readonly Rule[] = [vipUnique, portUnique, vipFamilies, vipIsNodeAddress, vipAllowed]
