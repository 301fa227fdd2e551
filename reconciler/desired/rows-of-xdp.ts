import { addressToBytes, serviceId } from '../../schemas/address.ts'
import type { Backend } from '../../schemas/manifest/backend.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type { Gue, RowBackend, RowKey, XdpServiceRow } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { accessOfRow } from './rows-of-access.ts'

/** One row for every VIP, port and protocol. */
export function xdpServiceRows(
  { spec, metadata }: Service,
  backends: readonly Backend[],
): [RowKey, XdpServiceRow][] {
  const { forwarding } = spec
  if (forwarding === 'gre' || forwarding === 'nat') throw cannot(metadata.name, forwarding)
  const gue: Gue = {
    port: spec.gue?.port ?? 6080,
    variant: spec.gue?.variant ?? 1,
    ...(spec.gue?.checksum === 'full' && { checksum: 'computed' as const }),
  }
  const access = accessOfRow(spec)
  return spec.vip.flatMap(vip =>
    spec.ports.map(({ port, endPort, protocol }): [RowKey, XdpServiceRow] => {
      if (protocol === 'sctp') throw cannot(metadata.name, protocol)
      const quic = protocol === 'udp' ? spec.quic : undefined
      return [
        `service/${serviceId(vip, port, protocol, endPort)}`,
        {
          kind: 'service',
          vip,
          port,
          ...(endPort !== undefined && { endPort }),
          protocol,
          encapsulation: forwarding,
          ...(spec.hashBy !== 'flow' && { hashBy: spec.hashBy }),
          ...(forwarding === 'gue' && { gue }),
          ...access,
          ...(quic && { quic: { configId: quic.configId } }),
          ring: { slots: RING_SLOTS, differing: 0 },
          idleTimeout: spec.udpIdleTimeout,
          backends: quic ? rowBackendsOfQuic(backends) : rowBackends(backends),
        },
      ]
    }),
  )
}

const cannot = (service: string, what: string): TypeError =>
  new TypeError(`Service ${service} asks XDP for ${what}`)

const knownBackends = new WeakMap<readonly Backend[], RowBackend[]>()

/** In the order of `compareAddresses`, with each address read once. The same list gives the same rows. */
function rowBackends(backends: readonly Backend[]): RowBackend[] {
  const known = knownBackends.get(backends)
  if (known !== undefined) return known
  const rows = backends
    .map(({ address, weight, drain }) => ({
      order: addressToBytes(address),
      ipv6: Number(address.includes(':')),
      row: { address, weight: drain ? 0 : weight },
    }))
    .sort((a, b) => a.ipv6 - b.ipv6 || Buffer.compare(a.order, b.order))
    .map(({ row }) => row)
  knownBackends.set(backends, rows)
  return rows
}

const knownOfQuic = new WeakMap<readonly Backend[], RowBackend[]>()

/** The same with the ids that connection ids name them by. */
function rowBackendsOfQuic(backends: readonly Backend[]): RowBackend[] {
  const known = knownOfQuic.get(backends)
  if (known !== undefined) return known
  const ids = new Map(backends.map(({ address, quicServerId }) => [address, quicServerId]))
  const rows = rowBackends(backends).map(row => {
    const serverId = ids.get(row.address)
    return serverId === undefined ? row : { ...row, serverId }
  })
  knownOfQuic.set(backends, rows)
  return rows
}
