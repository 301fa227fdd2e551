import fc from 'fast-check'
import { compareAddresses, serviceId } from '../../../schemas/address.ts'
import {
  type IpvsBackend,
  type IpvsForwarding,
  type IpvsRow,
  IpvsScheduler,
  type IpvsServiceRow,
  type IpvsSysctlRow,
  type RowKey,
  type Table,
} from '../../../schemas/node-state.ts'

/** Tables of the IPVS driver, from a universe so small that two of them have much in common. */

export const VIPS = ['203.0.113.1', '203.0.113.2', '2001:db8:f::1'] as const

export const backend = (fields: Partial<IpvsBackend> & Pick<IpvsBackend, 'address'>): IpvsBackend => ({
  port: 80,
  weight: 1,
  forwarding: { method: 'ipip' },
  upper: 0,
  lower: 0,
  ...fields,
})

export const service = (fields: Partial<IpvsServiceRow> = {}): IpvsServiceRow => ({
  kind: 'service',
  match: { by: 'address', vip: VIPS[0], port: 80, protocol: 'tcp' },
  scheduler: 'mh',
  schedulerFlags: { port: true, fallback: true },
  persistence: null,
  onePacket: false,
  backends: [],
  ...fields,
})

export const vip = (address: string, name = 'lo'): IpvsRow => ({ kind: 'vip', address, interface: name })

export const sysctl = (name: string, value: string): IpvsSysctlRow => ({ kind: 'sysctl', name, value })

export function keyOfRow(row: IpvsRow): RowKey {
  switch (row.kind) {
    case 'service':
      return row.match.by === 'fwmark'
        ? `fwmark/${row.match.mark}/${row.match.family}`
        : `service/${serviceId(row.match.vip, row.match.port, row.match.protocol)}`
    case 'vip':
      return `vip/${row.address}`
    case 'timeouts':
      return 'timeouts'
    case 'sync':
      return `sync/${row.role}`
    case 'sysctl':
      return `sysctl/${row.name}`
  }
}

export const tableOf = (...rows: readonly IpvsRow[]): Table<IpvsRow> =>
  Object.fromEntries(rows.map(row => [keyOfRow(row), row]))

const forwarding = fc.constantFrom<IpvsForwarding[]>(
  { method: 'nat' },
  { method: 'l2' },
  { method: 'ipip' },
  { method: 'gue', port: 6080, checksum: 'none' },
  { method: 'gue', port: 666, checksum: 'full' },
  { method: 'gue', port: 6080, checksum: 'remote' },
  { method: 'gre', checksum: 'none' },
  { method: 'gre', checksum: 'full' },
)

const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.10', '10.0.1.1', 'fd00::1', 'fd00::2', 'fd00::10']

function backends(family: 'ipv4' | 'ipv6', port: number): fc.Arbitrary<IpvsBackend[]> {
  const one = fc
    .record({
      address: fc.constantFrom(...ADDRESSES),
      natPort: fc.constantFrom(80, 8080),
      weight: fc.constantFrom(0, 1, 100, 65_535),
      forwarding,
      upper: fc.constantFrom(0, 100),
      lower: fc.constantFrom(0, 50),
    })
    // Packets change their family in a tunnel alone.
    .filter(
      ({ address, forwarding: { method } }) =>
        address.includes(':') === (family === 'ipv6') || (method !== 'nat' && method !== 'l2'),
    )
    .map(({ natPort, upper, lower, ...fields }) => ({
      ...fields,
      port: port === 0 || fields.forwarding.method !== 'nat' ? port : natPort,
      upper,
      lower: upper === 0 ? 0 : lower,
    }))
  return fc
    .uniqueArray(one, { selector: ({ address, port }) => `${address} ${port}`, maxLength: 6 })
    .map(list => list.sort((a, b) => compareAddresses(a.address, b.address) || a.port - b.port))
}

const match = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      by: fc.constant('address' as const),
      vip: fc.constantFrom(...VIPS),
      port: fc.constantFrom(80, 443),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      by: fc.constant('fwmark' as const),
      mark: fc.constantFrom(1, 4_294_967_295),
      family: fc.constantFrom('ipv4' as const, 'ipv6' as const),
    }),
  },
)

const familyOf = (of: IpvsServiceRow['match']): 'ipv4' | 'ipv6' =>
  of.by === 'fwmark' ? of.family : of.vip.includes(':') ? 'ipv6' : 'ipv4'

const serviceOf = (of: IpvsServiceRow['match']): fc.Arbitrary<IpvsServiceRow> =>
  fc
    .record({
      scheduler: fc.oneof(fc.constant('mh' as const), fc.constantFrom(...IpvsScheduler.options)),
      schedulerFlags: fc.record({ port: fc.boolean(), fallback: fc.boolean() }),
      persistence: fc.option(
        fc.record({
          timeout: fc.constantFrom(60, 3600),
          prefixLength: familyOf(of) === 'ipv4' ? fc.constantFrom(24, 32) : fc.constantFrom(64, 128),
          engine: fc.constant(''),
        }),
      ),
      onePacket: fc.boolean(),
      backends: backends(familyOf(of), of.by === 'fwmark' ? 0 : of.port),
    })
    .map(({ scheduler, schedulerFlags, onePacket, ...fields }) =>
      service({
        ...fields,
        match: of,
        scheduler,
        schedulerFlags:
          scheduler === 'mh' || scheduler === 'sh' ? schedulerFlags : { port: false, fallback: false },
        onePacket: onePacket && of.by === 'address' && of.protocol === 'udp',
      }),
    )

const settings = fc.tuple(
  fc.option(
    fc
      .record({
        tcp: fc.constantFrom(900, 1000),
        tcpFin: fc.constantFrom(60, 120),
        udp: fc.constantFrom(10, 300),
      })
      .map((fields): IpvsRow => ({ kind: 'timeouts', ...fields })),
  ),
  ...(['sloppy_tcp', 'expire_nodest_conn'] as const).map(name =>
    fc.option(fc.constantFrom('0', '1').map(value => sysctl(`net.ipv4.vs.${name}`, value))),
  ),
)

/** What a node of IPVS can have: every service is on a VIP that the table has. */
export const ipvsTable = (interfaces: readonly string[]): fc.Arbitrary<Table<IpvsRow>> =>
  fc
    .tuple(
      fc.uniqueArray(match.chain(serviceOf), { selector: keyOfRow, maxLength: 5 }),
      fc.uniqueArray(
        fc
          .record({ address: fc.constantFrom(...VIPS), name: fc.constantFrom(...interfaces) })
          .map(({ address, name }) => vip(address, name)),
        { selector: keyOfRow },
      ),
      settings,
      fc.boolean(),
    )
    .map(([services, vips, set, nothing]) => {
      if (nothing) return {}
      const used = services.flatMap(({ match: of }) => (of.by === 'address' ? [vip(of.vip)] : []))
      return JSON.parse(
        JSON.stringify(tableOf(...used, ...vips, ...services, ...set.filter(row => row !== null))),
      )
    })
