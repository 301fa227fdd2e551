import type { BackendPool } from '../../../schemas/manifest/backend-pool.ts'
import type { Service } from '../../../schemas/manifest/service.ts'
import { RING_MEMBERS } from '../../../schemas/ring-limits.ts'
import type { ManifestOf } from '../manifest.ts'
import type { BackendSet, Rule } from './rule.ts'

const BACKENDS = ['spec', 'backends'] as const

const backendUnique: Rule = {
  id: 'backend-unique',
  severity: 'error',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets) {
      const seen = new Set<string>()
      for (const [index, { address }] of backends.entries()) {
        if (seen.has(address))
          yield {
            at: owner.locate([...BACKENDS, index, 'address']),
            message: `The backend ${address} of ${titleOf(owner)} is listed twice.`,
            hint: 'Remove one of the two; to send it more, raise its weight.',
          }
        seen.add(address)
      }
    }
  },
}

const backendPort: Rule = {
  id: 'backend-port',
  severity: 'error',
  local: true,
  *check({ services, backendsOf }) {
    for (const service of services) {
      const set = backendsOf(service)
      if (set === null || service.spec.forwarding === 'nat') continue
      for (const [backendPort, index] of set.ports) {
        const other = service.spec.ports.find(
          ({ port, endPort }) => backendPort < port || backendPort > (endPort ?? port),
        )
        if (other === undefined) continue
        const { address } = set.backends[index]!
        yield {
          at:
            set.owner === service
              ? service.locate([...BACKENDS, index, 'port'])
              : service.locate(['spec', 'pool']),
          message: `The backend ${address} of ${titleOf(set.owner)} wants port ${backendPort}, and ${service.spec.forwarding} keeps port ${other.port} of Service ${service.metadata.name}.`,
          hint: `Let the backend listen on ${other.port} and remove its port; nat alone can change it.`,
        }
      }
    }
  },
}

const weightsAllZero: Rule = {
  id: 'weights-all-zero',
  severity: 'error',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets)
      if (backends.every(({ weight }) => weight === 0))
        yield {
          at: owner.locate(BACKENDS),
          message: `Every backend of ${titleOf(owner)} has the weight 0, so that new flows would have nowhere to go.`,
          hint: 'Give one of them a weight above 0.',
        }
  },
}

const allDrained: Rule = {
  id: 'all-drained',
  severity: 'warning',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets) {
      const open = backends.filter(({ weight, drain }) => weight > 0 && !drain)
      if (open.length > 0 || backends.every(({ weight }) => weight === 0)) continue
      yield {
        at: owner.locate(BACKENDS),
        message: `Every backend of ${titleOf(owner)} is drained: new flows are dropped until one is not.`,
        hint: 'Leave one backend without drain, unless this is meant.',
      }
    }
  },
}

const ringCapacity: Rule = {
  id: 'ring-capacity',
  severity: 'error',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets)
      if (backends.length > RING_MEMBERS)
        yield {
          at: owner.locate([...BACKENDS, RING_MEMBERS]),
          message: `${titleOf(owner)} has ${backends.length} backends, and a ring holds ${RING_MEMBERS}.`,
          hint: 'Divide them among several services.',
        }
  },
}

const familiesMix: Rule = {
  id: 'families-mix',
  severity: 'error',
  local: true,
  *check({ services, backendsOf }) {
    for (const service of services) {
      const set = backendsOf(service)
      if (set === null) continue
      const { vip: vips, forwarding } = service.spec
      for (const [index, vip] of vips.entries()) {
        const other = otherFamily(service, set, vip)
        if (other === null) continue
        const [ours, theirs] = vip.includes(':') ? ['IPv6', 'IPv4'] : ['IPv4', 'IPv6']
        yield {
          at: service.locate(['spec', 'vip', index]),
          message: `The VIP ${vip} is ${ours} and the backend ${set.backends[other]!.address} of ${titleOf(set.owner)} is ${theirs}: ${service.spec.dataplane} does not carry ${ours} over ${theirs} by ${forwarding}.`,
          hint: `Give the backends ${ours} addresses, or make a Service for each family.`,
        }
      }
    }
  },
}

/** Where the first backend stands that a packet to the VIP cannot be brought to; null: there is none. */
function otherFamily({ spec }: ManifestOf<Service>, set: BackendSet, vip: string): number | null {
  const tunnels = ['ipip', 'gue', 'gre'].includes(spec.forwarding)
  // The tunnels of the kernel carry either family over either; those of XDP, IPv6 over IPv6 alone.
  if (tunnels && spec.dataplane === 'ipvs') return null
  // By its link address a backend gets packets of either family.
  if (spec.forwarding === 'l2' && spec.dataplane === 'xdp') return null
  if (vip.includes(':')) return set.firstIpv4
  return tunnels ? null : set.firstIpv6
}

const backendIsVip: Rule = {
  id: 'backend-is-vip',
  severity: 'error',
  *check({ services, backendSets }) {
    const owners = new Map(services.flatMap(service => service.spec.vip.map(vip => [vip, service] as const)))
    // No iterator: there are hundreds of thousands.
    for (const { owner, backends } of backendSets)
      for (let index = 0; index < backends.length; index++) {
        const { address } = backends[index]!
        const service = owners.get(address)
        if (service !== undefined)
          yield {
            at: owner.locate([...BACKENDS, index, 'address']),
            message: `The backend ${address} is the VIP of Service ${service.metadata.name}: packets would come back to the load balancers.`,
            hint: 'Write an address that only the backend has.',
          }
      }
  },
}

/** `Service web`, `BackendPool web` */
const titleOf = (owner: ManifestOf<Service> | ManifestOf<BackendPool>) =>
  `${owner.kind} ${owner.metadata.name}`

export const backendRules: readonly Rule[] = [
  backendUnique,
  backendPort,
  weightsAllZero,
  allDrained,
  ringCapacity,
  familiesMix,
  backendIsVip,
]
