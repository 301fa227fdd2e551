import { compareAddresses, serviceId } from '../../schemas/address.ts'
import type { Backend } from '../../schemas/manifest/backend.ts'
import type { Node } from '../../schemas/manifest/node.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type {
  IpvsBackend,
  IpvsForwarding,
  IpvsRow,
  IpvsServiceRow,
  RowKey,
} from '../../schemas/node-state.ts'

type Match = IpvsServiceRow['match']

/** One row for every VIP, port and protocol, or for every family of a firewall mark. */
export function ipvsServiceRows({ spec }: Service, backends: readonly Backend[]): [RowKey, IpvsServiceRow][] {
  const sorted = backends.toSorted((a, b) => compareAddresses(a.address, b.address))
  return matchesOf(spec).map(([key, match]) => [
    key,
    {
      kind: 'service',
      match,
      ...policyOf(spec, familyOf(match)),
      backends: sorted.map(backend => ipvsBackend(backend, spec, match)),
    },
  ])
}

function matchesOf({ vip: vips, ports, ipvs }: Service['spec']): [RowKey, Match][] {
  const mark = ipvs?.fwmark
  if (mark === undefined)
    return vips.flatMap(vip =>
      ports.map(({ port, protocol }): [RowKey, Match] => [
        `service/${serviceId(vip, port, protocol)}`,
        { by: 'address', vip, port, protocol },
      ]),
    )
  return vips.map(vip => {
    const family = vip.includes(':') ? 'ipv6' : 'ipv4'
    return [`fwmark/${mark}/${family}`, { by: 'fwmark', mark, family }]
  })
}

const familyOf = (match: Match): 'ipv4' | 'ipv6' =>
  match.by === 'fwmark' ? match.family : match.vip.includes(':') ? 'ipv6' : 'ipv4'

function policyOf({ scheduler, ipvs }: Service['spec'], family: 'ipv4' | 'ipv6') {
  const { persistence, schedulerFlags: flags } = ipvs ?? {}
  // Without the port all connections of a client have one backend; without the fallback a drained one drops its share.
  const byDefault = scheduler === 'maglev'
  return {
    scheduler: scheduler === 'maglev' ? 'mh' : scheduler,
    schedulerFlags: { port: flags?.port ?? byDefault, fallback: flags?.fallback ?? byDefault },
    persistence:
      persistence === undefined
        ? null
        : { timeout: persistence.timeout, prefixLength: persistence[`${family}PrefixLength`], engine: '' },
    onePacket: ipvs?.onePacket ?? false,
  }
}

function ipvsBackend(
  { address, port, weight, drain, thresholds }: Backend,
  spec: Service['spec'],
  match: Match,
): IpvsBackend {
  const own = match.by === 'address' ? match.port : 0
  return {
    address,
    port: spec.forwarding === 'nat' ? (port ?? own) : own,
    weight: drain ? 0 : weight,
    forwarding: forwardingOf(spec),
    upper: thresholds?.upper ?? 0,
    lower: thresholds?.lower ?? 0,
  }
}

function forwardingOf({ forwarding: method, gue, gre }: Service['spec']): IpvsForwarding {
  if (method === 'gue') return { method, port: gue?.port ?? 6080, checksum: gue?.checksum ?? 'none' }
  if (method === 'gre') return { method, checksum: gre?.checksum ?? 'none' }
  return { method }
}

/**
 * - sloppy_tcp: a connection whose SYN another node saw is taken up in the middle: else a change of ECMP cuts every flow.
 * - expire_nodest_conn, expire_quiescent_template: what belongs to a backend that went or is drained finds another.
 * - conn_reuse_mode: a source port that is used again is a new connection.
 */
const NEEDED = {
  'net.ipv4.vs.sloppy_tcp': '1',
  'net.ipv4.vs.expire_nodest_conn': '1',
  'net.ipv4.vs.expire_quiescent_template': '1',
  'net.ipv4.vs.conn_reuse_mode': '1',
}
/** All nodes have the VIPs, and on the link none of them may claim one. */
const NEEDED_FOR_L2 = { 'net.ipv4.conf.all.arp_ignore': '1', 'net.ipv4.conf.all.arp_announce': '2' }

/** What a node has besides the services themselves; nothing where it has none. */
export function ipvsNodeRows({ spec }: Node, services: readonly Service[]): Record<RowKey, IpvsRow> {
  if (services.length === 0) return {}
  const { interface: name, timeouts, sync, sysctls } = spec.ipvs
  const values = {
    ...NEEDED,
    ...(services.some(({ spec: { forwarding } }) => forwarding === 'l2') && NEEDED_FOR_L2),
    ...sysctls,
  }
  const rows: Record<RowKey, IpvsRow> = {}
  for (const address of services.flatMap(({ spec: { vip } }) => vip))
    rows[`vip/${address}`] = { kind: 'vip', address, interface: name }
  for (const [sysctl, value] of Object.entries(values))
    rows[`sysctl/${sysctl}`] = { kind: 'sysctl', name: sysctl, value }
  if (timeouts !== undefined) rows.timeouts = { kind: 'timeouts', ...timeouts }
  for (const daemon of sync) rows[`sync/${daemon.role}`] = { kind: 'sync', ...daemon }
  return rows
}
