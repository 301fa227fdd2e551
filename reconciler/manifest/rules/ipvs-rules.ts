import type { Service } from '../../../schemas/manifest/service.ts'
import type { ManifestOf } from '../manifest.ts'
import type { Rule, RuleContext } from './rule.ts'

const ofIpvs = ({ services }: Pick<RuleContext, 'services'>) =>
  services.filter(({ spec }) => spec.dataplane === 'ipvs')

const fwmarkUnique: Rule = {
  id: 'fwmark-unique',
  severity: 'error',
  *check(context) {
    const claims = new Map<string, ManifestOf<Service>>()
    for (const service of ofIpvs(context)) {
      const mark = service.spec.ipvs?.fwmark
      if (mark === undefined) continue
      const ids = context
        .nodesOf(service)
        .flatMap(({ metadata }) =>
          service.spec.vip.map(vip => `${mark} ${vip.includes(':')} ${metadata.name}`),
        )
      const other = ids.map(id => claims.get(id)).find(each => each !== undefined)
      for (const id of ids) if (!claims.has(id)) claims.set(id, service)
      if (other !== undefined)
        yield {
          at: service.locate(['spec', 'ipvs', 'fwmark']),
          message: `The firewall mark ${mark} is also that of Service ${other.metadata.name} on the same node.`,
          hint: 'Give one of them another mark, or nodes that the other does not have.',
        }
    }
  },
}

const schedulerFlagsUnused: Rule = {
  id: 'scheduler-flags-unused',
  severity: 'error',
  *check(context) {
    for (const service of ofIpvs(context)) {
      const { scheduler, ipvs } = service.spec
      if (ipvs?.schedulerFlags === undefined || scheduler === 'maglev' || scheduler === 'sh') continue
      yield {
        at: service.locate(['spec', 'ipvs', 'schedulerFlags']),
        message: `Service ${service.metadata.name} has flags for the scheduler ${scheduler}, which knows none.`,
        hint: 'Remove them, or set the scheduler maglev or sh.',
      }
    }
  },
}

const onePacketUdp: Rule = {
  id: 'one-packet-udp',
  severity: 'error',
  *check(context) {
    for (const service of ofIpvs(context)) {
      const { ports, ipvs } = service.spec
      const isUdp = ports.every(({ protocol }) => protocol === 'udp') && ipvs?.fwmark === undefined
      if (ipvs?.onePacket !== true || isUdp) continue
      yield {
        at: service.locate(['spec', 'ipvs', 'onePacket']),
        message: `Service ${service.metadata.name} schedules every packet by itself, and not all of its ports are UDP.`,
        hint: 'Make a Service of its own for the UDP ports, or remove onePacket.',
      }
    }
  },
}

const thresholdsOrder: Rule = {
  id: 'thresholds-order',
  severity: 'error',
  local: true,
  *check({ backendSets }) {
    for (const { owner, backends } of backendSets)
      for (const [index, { address, thresholds }] of backends.entries())
        if (thresholds !== undefined && thresholds.lower > thresholds.upper)
          yield {
            at: owner.locate(['spec', 'backends', index, 'thresholds', 'lower']),
            message: `The backend ${address} of ${owner.kind} ${owner.metadata.name} would get connections again below ${thresholds.lower}, and gets them up to ${thresholds.upper}.`,
            hint: 'Set lower below upper, or remove it.',
          }
  },
}

const schedulerLocal: Rule = {
  id: 'scheduler-local',
  severity: 'warning',
  *check(context) {
    for (const service of ofIpvs(context)) {
      const { scheduler } = service.spec
      const nodes = context.nodesOf(service)
      if (['maglev', 'sh', 'dh'].includes(scheduler) || nodes.length < 2) continue
      if (nodes.every(({ spec }) => spec.ipvs.sync.length > 0)) continue
      yield {
        at: service.locate(['spec', 'scheduler']),
        message: `The scheduler ${scheduler} of Service ${service.metadata.name} chooses by what each of its ${nodes.length} nodes has seen: a flow which routers move to another node breaks.`,
        hint: 'Set the scheduler maglev, or let spec.ipvs.sync of its Nodes copy connections.',
      }
    }
  },
}

const natForwarding: Rule = {
  id: 'nat-forwarding',
  severity: 'warning',
  *check(context) {
    const asked = new Set<string>()
    for (const service of ofIpvs(context)) {
      if (service.spec.forwarding !== 'nat') continue
      for (const node of context.nodesOf(service))
        for (const vip of service.spec.vip) {
          const sysctl = vip.includes(':') ? 'net.ipv6.conf.all.forwarding' : 'net.ipv4.ip_forward'
          const id = `${node.metadata.name} ${sysctl}`
          if (asked.has(id) || Object.hasOwn(node.spec.ipvs.sysctls, sysctl)) continue
          asked.add(id)
          yield {
            at: node.locate(['spec', 'ipvs']),
            message: `Service ${service.metadata.name} forwards by nat, and nothing says that Node ${node.metadata.name} lets answers through.`,
            hint: `Add ${sysctl}: 1 to spec.ipvs.sysctls.`,
          }
        }
    }
  },
}

const syncRoles: Rule = {
  id: 'sync-roles',
  severity: 'error',
  *check({ nodes }) {
    for (const node of nodes) {
      const [first, second] = node.spec.ipvs.sync
      if (first !== undefined && first.role === second?.role)
        yield {
          at: node.locate(['spec', 'ipvs', 'sync', 1, 'role']),
          message: `Node ${node.metadata.name} has two sync daemons of the role ${first.role}, and the kernel runs one of each.`,
          hint: 'Remove one of the two.',
        }
    }
  },
}

const syncFamilies: Rule = {
  id: 'sync-families',
  severity: 'error',
  *check(context) {
    for (const service of ofIpvs(context)) {
      const set = context.backendsOf(service)
      if (set === null) continue
      const mixes = service.spec.vip.some(vip => (vip.includes(':') ? set.firstIpv4 : set.firstIpv6) !== null)
      const node = mixes && context.nodesOf(service).find(({ spec }) => spec.ipvs.sync.length > 0)
      if (node)
        yield {
          at: service.locate(['spec', 'vip']),
          message: `Service ${service.metadata.name} has backends of another family than its VIP, and the sync daemon of Node ${node.metadata.name} cannot tell of them.`,
          hint: 'Give the backends addresses of the family of the VIP, or remove spec.ipvs.sync from the Node.',
        }
    }
  },
}

const interfacesMissing: Rule = {
  id: 'interfaces-missing',
  severity: 'error',
  *check({ services, nodes, nodesOf }) {
    const without = new Set(nodes.filter(({ spec }) => spec.interfaces.length === 0))
    for (const service of services) {
      if (without.size === 0) return
      for (const node of service.spec.dataplane === 'xdp' ? nodesOf(service) : []) {
        if (!without.delete(node)) continue
        yield {
          at: node.locate(['spec']),
          message: `Node ${node.metadata.name} has no interfaces for xdp, by which it serves ${service.metadata.name}.`,
          hint: 'Add spec.interfaces: those on which packets for VIPs arrive.',
        }
      }
    }
  },
}

/** What the services of IPVS need of each other and of their nodes. */
export const ipvsRules: readonly Rule[] = [
  fwmarkUnique,
  schedulerFlagsUnused,
  onePacketUdp,
  thresholdsOrder,
  schedulerLocal,
  natForwarding,
  syncRoles,
  syncFamilies,
  interfacesMissing,
]
