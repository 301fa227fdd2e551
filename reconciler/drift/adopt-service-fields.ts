import type { Backend } from '../../schemas/manifest/backend.ts'
import { API_VERSION } from '../../schemas/manifest/metadata.ts'
import type { IpvsForwarding, IpvsServiceRow, XdpServiceRow } from '../../schemas/node-state.ts'
import type { Proposal, ProposalInput } from './adopt-edits.ts'

/** What rows of services are in the words of a Service, and the new one that says what nobody asked for. */

/** What a manifest says of a backend; absent: as the default is. */
export type Found = Partial<Pick<Backend, 'port' | 'quicServerId' | 'thresholds'>> & {
  readonly address: string
  readonly weight: number
}

export const xdpBackends = ({ backends }: XdpServiceRow): Found[] =>
  backends.map(({ address, weight, serverId }) => ({
    ...{ address, weight },
    ...(serverId !== undefined && { quicServerId: serverId }),
  }))

export const ipvsBackends = ({ backends, match }: IpvsServiceRow): Found[] =>
  backends.map(({ address, weight, port, upper, lower }) => ({
    ...{ address, weight },
    ...(match.by === 'address' && port !== match.port && { port }),
    ...(upper > 0 && { thresholds: { upper, lower } }),
  }))

export const gueOf = ({ port, variant, checksum }: NonNullable<XdpServiceRow['gue']>) => ({
  ...{ port, variant },
  ...(checksum && { checksum: 'full' }),
})
export const accessOf = ({ allow, deny }: NonNullable<XdpServiceRow['access']>) => ({
  allow: allow.length > 0 ? allow : undefined,
  deny: deny.length > 0 ? deny : undefined,
})
export const flowLimitOf = ({
  perSecond,
  burst,
  ipv4Bits,
  ipv6Bits,
}: NonNullable<XdpServiceRow['flowLimit']>) => ({
  ...{ perSecond, burst },
  ...{ ipv4PrefixLength: ipv4Bits, ipv6PrefixLength: ipv6Bits },
})

/** Of all backends as of the first: where they are reached in different ways, no Service is such a row. */
export function ipvsFields(row: IpvsServiceRow) {
  const { schedulerFlags: flags, persistence, onePacket, match } = row
  const family = match.by === 'fwmark' ? match.family : match.vip.includes(':') ? 'ipv6' : 'ipv4'
  const isMaglev = row.scheduler === 'mh'
  const isUsual = flags.port === isMaglev && flags.fallback === isMaglev
  const ipvs = {
    ...(!isUsual && { schedulerFlags: { ...flags } }),
    ...(persistence && {
      persistence: { timeout: persistence.timeout, [`${family}PrefixLength`]: persistence.prefixLength },
    }),
    ...(onePacket && { onePacket }),
  }
  return {
    scheduler: isMaglev ? 'maglev' : row.scheduler,
    ...forwardingFields(row.backends[0]?.forwarding),
    ...(Object.keys(ipvs).length > 0 && { ipvs }),
  }
}

interface ForwardingFields {
  readonly forwarding?: IpvsForwarding['method']
  readonly gue?: object
  readonly gre?: object
}

function forwardingFields(forwarding: IpvsForwarding | undefined): ForwardingFields {
  if (forwarding === undefined) return {}
  const { method } = forwarding
  if (method === 'gue')
    return { forwarding: method, gue: { port: forwarding.port, checksum: forwarding.checksum } }
  return method === 'gre'
    ? { forwarding: method, gre: { checksum: forwarding.checksum } }
    : { forwarding: method }
}

/** Text: why no manifest can be such a service. */
export function proposeFile(
  { record, open, allNodes }: ProposalInput,
  row: XdpServiceRow | IpvsServiceRow,
): Proposal | string {
  const name = `adopted-${record.key
    .replace(/^service\//, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')}`.slice(0, 63)
  const alike = open.filter(
    each => each.key === record.key && each.driver === record.driver && each.kind === 'unexpected',
  )
  const names = [...new Set([record.node, ...(allNodes ? alike.map(({ node }) => node) : [])])].sort()
  const spec = 'match' in row ? ipvsSpec(row, names) : xdpSpec(row, names)
  if (typeof spec === 'string') return spec
  const manifest = { apiVersion: API_VERSION, kind: 'Service', metadata: { name }, spec }
  return { kind: 'file', what: `A new Service ${name}`, name, manifest }
}

function xdpSpec(row: XdpServiceRow, names: readonly string[]) {
  const { vip, port, endPort, protocol, idleTimeout, encapsulation, hashBy, gue, access, flowLimit, quic } =
    row
  return {
    vip,
    ports: [{ port, ...(endPort !== undefined && { endPort }), protocol }],
    nodes: { names },
    forwarding: encapsulation,
    ...(gue && { gue: gueOf(gue) }),
    ...(hashBy && { hashBy }),
    ...(access && { access: accessOf(access) }),
    ...(flowLimit && { flowLimit: flowLimitOf(flowLimit) }),
    ...(quic && { quic }),
    udpIdleTimeout: idleTimeout,
    backends: xdpBackends(row),
  }
}

function ipvsSpec(row: IpvsServiceRow, names: readonly string[]) {
  const { match, backends } = row
  if (match.by === 'fwmark')
    return 'A service of a firewall mark has no VIP in the kernel, and a Service needs one: write its manifest by hand.'
  if (backends.length === 0) return 'It has no backends, and a Service needs one.'
  const ways = new Set(backends.map(({ forwarding }) => JSON.stringify(forwarding)))
  if (ways.size > 1)
    return 'Its backends are reached in different ways, and a Service has one for all of them.'
  if (match.port === 0) return 'It is for all ports of the VIP, which a Service of IPVS cannot be.'
  const { vip, port, protocol } = match
  return {
    vip,
    ports: [{ port, protocol }],
    nodes: { names },
    dataplane: 'ipvs',
    ...ipvsFields(row),
    backends: ipvsBackends(row),
  }
}
