import type { Service } from '../../../schemas/manifest/service.ts'
import type { ManifestOf, ValuePath } from '../manifest.ts'
import type { BackendSet, Rule } from './rule.ts'

/** Something that a manifest asks for and its dataplane cannot do. */
interface Unable {
  readonly path: ValuePath
  /** What it asks for, behind "Service web". */
  readonly asks: string
  readonly hint: string
}

const TO_IPVS = 'Set dataplane: ipvs, or remove it.'

/** The ways of forwarding of the XDP program. */
const XDP_FORWARDING: ReadonlySet<string> = new Set(['ipip', 'gue', 'l2'])

function* askedOfXdp({ spec }: Service): Iterable<Unable> {
  if (!XDP_FORWARDING.has(spec.forwarding))
    yield {
      path: ['spec', 'forwarding'],
      asks: `forwards by ${spec.forwarding}`,
      hint: `Set dataplane: ipvs, or one of ${[...XDP_FORWARDING].join(', ')}.`,
    }
  if (spec.scheduler !== 'maglev')
    yield {
      path: ['spec', 'scheduler'],
      asks: `has the scheduler ${spec.scheduler}`,
      hint: 'Set dataplane: ipvs, or the scheduler maglev.',
    }
  for (const [index, { protocol }] of spec.ports.entries())
    if (protocol === 'sctp')
      yield { path: ['spec', 'ports', index, 'protocol'], asks: 'serves sctp', hint: TO_IPVS }
  if (spec.ipvs !== undefined) yield { path: ['spec', 'ipvs'], asks: 'has settings of ipvs', hint: TO_IPVS }
  if (spec.gue?.checksum === 'remote')
    yield { path: ['spec', 'gue', 'checksum'], asks: 'leaves checksums to the receiver', hint: TO_IPVS }
}

const TO_XDP = 'Set dataplane: xdp, or remove it.'

function* askedOfIpvs({ spec }: Service): Iterable<Unable> {
  for (const [index, { endPort }] of spec.ports.entries())
    if (endPort !== undefined)
      yield {
        path: ['spec', 'ports', index],
        asks: 'has a range of ports',
        hint: 'Set dataplane: xdp, or use ipvs.fwmark and mark the ports.',
      }
  if (spec.access !== undefined) yield { path: ['spec', 'access'], asks: 'has an access list', hint: TO_XDP }
  if (spec.flowLimit !== undefined)
    yield { path: ['spec', 'flowLimit'], asks: 'limits new flows', hint: TO_XDP }
  if (spec.quic !== undefined)
    yield { path: ['spec', 'quic'], asks: 'routes by QUIC connection ids', hint: TO_XDP }
  if (spec.hashBy !== 'flow')
    yield {
      path: ['spec', 'hashBy'],
      asks: `chooses backends by ${spec.hashBy}`,
      hint: 'Set dataplane: xdp, or ipvs.schedulerFlags.port: false or ipvs.persistence in place of hashBy.',
    }
  if (spec.gue?.variant === 1)
    yield {
      path: ['spec', 'gue', 'variant'],
      asks: 'wants variant 1 of GUE',
      hint: 'The kernel sends variant 0: remove it, and let the backends expect that.',
    }
}

const dataplaneFeature: Rule = {
  id: 'dataplane-feature',
  severity: 'error',
  local: true,
  *check({ services, backendsOf }) {
    for (const service of services) {
      const { dataplane } = service.spec
      const says = `Service ${service.metadata.name}`
      for (const { path, asks, hint } of dataplane === 'xdp' ? askedOfXdp(service) : askedOfIpvs(service))
        yield { at: service.locate(path), message: `${says} ${asks}, which ${dataplane} cannot do.`, hint }
      const set = backendsOf(service)
      const index = set?.backends.findIndex(({ thresholds }) => thresholds !== undefined) ?? -1
      if (set !== null && dataplane === 'xdp' && index >= 0)
        yield {
          at: atBackend(service, set, index, 'thresholds'),
          message: `${says} has a backend with thresholds (${set.backends[index]!.address}), which xdp cannot do.`,
          hint: TO_IPVS,
        }
    }
  },
}

/** The field of a backend, or where the service names the pool of another. */
const atBackend = (service: ManifestOf<Service>, { owner }: BackendSet, index: number, field: string) =>
  owner === service ? service.locate(['spec', 'backends', index, field]) : service.locate(['spec', 'pool'])

const portsOrMark: Rule = {
  id: 'ports-or-mark',
  severity: 'error',
  local: true,
  *check({ services }) {
    for (const service of services) {
      const { ports, ipvs } = service.spec
      const mark = ipvs?.fwmark
      if (mark === undefined && ports.length === 0)
        yield {
          at: service.locate(['spec', 'ports']),
          message: `Service ${service.metadata.name} has no ports.`,
          hint: 'Add spec.ports: a list of port and protocol.',
        }
      if (mark !== undefined && ports.length > 0)
        yield {
          at: service.locate(['spec', 'ports']),
          message: `Service ${service.metadata.name} takes what is marked ${mark}, and lists ports.`,
          hint: 'Keep one of spec.ports and spec.ipvs.fwmark: which ports are marked is said by the firewall of the node.',
        }
    }
  },
}

const vipOneDataplane: Rule = {
  id: 'vip-one-dataplane',
  severity: 'error',
  *check({ services, nodesOf }) {
    // For every VIP and node that has it by xdp and drops what no service takes: the service.
    const byXdp = new Map<string, ManifestOf<Service>>()
    const ofDataplane = (name: string) => services.filter(({ spec }) => spec.dataplane === name)
    const vips = new Set(ofDataplane('ipvs').flatMap(({ spec }) => spec.vip))
    for (const service of ofDataplane('xdp'))
      for (const vip of service.spec.vip.filter(each => vips.has(each)))
        for (const { metadata, spec } of nodesOf(service))
          if (spec.unmatched === 'drop') byXdp.set(`${vip} ${metadata.name}`, service)
    for (const service of ofDataplane('ipvs'))
      for (const [index, vip] of service.spec.vip.entries()) {
        const node = nodesOf(service).find(({ metadata }) => byXdp.has(`${vip} ${metadata.name}`))
        if (node === undefined) continue
        const other = byXdp.get(`${vip} ${node.metadata.name}`)!
        yield {
          at: service.locate(['spec', 'vip', index]),
          message: `${vip} is served by xdp for Service ${other.metadata.name} on Node ${node.metadata.name}, which drops what is for other services before ipvs sees it.`,
          hint: 'Let both have one dataplane, give one of them another VIP, or set unmatched: pass on the Node.',
        }
      }
  },
}

const ringsDiffer: Rule = {
  id: 'rings-differ',
  severity: 'error',
  *check({ services, nodesOf }) {
    const byXdp = new Map<string, ManifestOf<Service>>()
    for (const service of services)
      if (service.spec.dataplane === 'xdp' && nodesOf(service).length > 0)
        for (const id of portsOf(service)) byXdp.set(id, service)
    for (const service of services) {
      if (service.spec.dataplane !== 'ipvs' || nodesOf(service).length === 0) continue
      const id = portsOf(service).find(each => byXdp.has(each))
      if (id === undefined) continue
      const other = byXdp.get(id)!
      if (service.spec.mixedRings && other.spec.mixedRings) continue
      yield {
        at: service.locate(['spec', 'dataplane']),
        message: `${id} is served by ipvs here and by xdp for Service ${other.metadata.name}: they choose different backends for the same packet, so that a flow which routers move to another node breaks.`,
        hint: 'Let all nodes serve it by one dataplane; where that is meant for a while, set mixedRings: true on both.',
      }
    }
  },
}

const portsOf = ({ spec }: Service): string[] =>
  spec.vip.flatMap(vip => spec.ports.map(({ port, protocol }) => `${vip} port ${port}/${protocol}`))

/** What a dataplane can do, and which of them may stand side by side. */
export const dataplaneRules: readonly Rule[] = [dataplaneFeature, portsOrMark, vipOneDataplane, ringsDiffer]
