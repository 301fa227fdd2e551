import fc from 'fast-check'
import { fleetKeyFingerprint, fleetKeyFromName } from '../../reconciler/ring/flow-hash.ts'
import { addressFamily, compareAddresses, serviceId } from '../../schemas/address.ts'
import type {
  RowBackend,
  RowKey,
  Table,
  XdpInterfaceRow,
  XdpRow,
  XdpServiceRow,
  XdpSettingsRow,
} from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'

/** Tables of the XDP driver, from a universe so small that two of them have much in common. */

export const settingsRow = (fields: Partial<XdpSettingsRow> = {}): XdpSettingsRow => ({
  kind: 'settings',
  fleet: 'test',
  fleetKey: fleetKeyFingerprint(fleetKeyFromName(fields.fleet ?? 'test')),
  sources: { ipv4: '10.64.0.0/16', ipv6: '2001:db8:64::/96' },
  mtu: 1500,
  egress: 'hairpin',
  unmatched: 'drop',
  capacity: { flows: 1000, services: 12, members: 96 },
  ...fields,
})

export const serviceRow = (
  fields: Partial<XdpServiceRow> & Pick<XdpServiceRow, 'backends'>,
): XdpServiceRow => ({
  kind: 'service',
  vip: '203.0.113.1',
  port: 80,
  protocol: 'tcp',
  encapsulation: 'ipip',
  ring: { slots: RING_SLOTS, differing: 0 },
  idleTimeout: 60,
  ...fields,
})

export const keyOfRow = (row: XdpRow): RowKey => {
  if (row.kind === 'settings') return 'settings'
  if (row.kind === 'interface') return `interface/${row.name}`
  return `service/${serviceId(row.vip, row.port, row.protocol)}`
}

export const tableOf = (...rows: readonly XdpRow[]): Table<XdpRow> =>
  Object.fromEntries(rows.map(row => [keyOfRow(row), row]))

/** `10.0.0.1=3` and the like; sorted, as rows have them. */
export const backendsOf = (...texts: readonly string[]): RowBackend[] =>
  texts
    .map(text => text.split('='))
    .map(([address, weight]) => ({ address: address!, weight: Number(weight ?? 1) }))
    .sort((a, b) => compareAddresses(a.address, b.address))

const settings = fc
  .record({
    mtu: fc.constantFrom(1500, 9000),
    egress: fc.constantFrom('hairpin', 'fib'),
    unmatched: fc.constantFrom('drop', 'pass'),
    sources: fc.record({
      ipv4: fc.constantFrom('', '10.64.0.0/16', '10.64.0.7/32'),
      ipv6: fc.constantFrom('', '2001:db8:64::/64'),
    }),
    capacity: fc.record({
      flows: fc.constantFrom(10, 1000, 3000),
      services: fc.constantFrom(12, 20),
      members: fc.constantFrom(96, 200),
    }),
  })
  .map(settingsRow)

const backends = (vip: string) =>
  fc
    .uniqueArray(
      fc.record({
        address: fc.constantFrom(
          ...[
            '10.0.0.1',
            '10.0.0.2',
            '10.0.0.10',
            '10.0.1.1',
            '2001:db8::1',
            '2001:db8::2',
            '2001:db8::10',
          ].filter(address => addressFamily(vip) === 4 || addressFamily(address) === 6),
        ),
        weight: fc.integer({ min: 0, max: 4 }),
      }),
      { selector: backend => backend.address, maxLength: 6 },
    )
    .map(list => list.sort((a, b) => compareAddresses(a.address, b.address)))

const service = fc
  .record({
    vip: fc.constantFrom('203.0.113.1', '203.0.113.2', '2001:db8:f::1'),
    port: fc.constantFrom(80, 443),
    protocol: fc.constantFrom('tcp', 'udp'),
    idleTimeout: fc.constantFrom(30, 300),
    way: fc.constantFrom<Pick<XdpServiceRow, 'encapsulation' | 'gue' | 'hashBy'>[]>(
      { encapsulation: 'ipip' },
      { encapsulation: 'gue', gue: { variant: 1, port: 6080 } },
      { encapsulation: 'gue', gue: { variant: 0, port: 666 }, hashBy: 'source' },
    ),
  })
  .map(({ way, ...fields }) => ({ ...fields, ...way }))
  .chain(fields => fc.record({ ...mapConstants(fields), backends: backends(fields.vip) }))
  .map(serviceRow)

const mapConstants = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, fc.constant(value)])) as {
    [K in keyof T]: fc.Arbitrary<T[K]>
  }

const interfaces = (names: readonly string[]) =>
  fc.tuple(
    ...names.map(name =>
      fc.option(
        fc
          .constantFrom<XdpInterfaceRow['attach'][]>('native', 'generic', 'auto')
          .map((attach): XdpInterfaceRow => ({ kind: 'interface', name, attach })),
      ),
    ),
  )

/** Tables that a node can have: without settings there is nothing else. */
export const xdpTable = (interfaceNames: readonly string[]): fc.Arbitrary<Table<XdpRow>> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constant({}) },
    {
      weight: 6,
      arbitrary: fc
        .tuple(
          settings,
          fc.uniqueArray(service, { selector: keyOfRow, maxLength: 5 }),
          interfaces(interfaceNames),
        )
        .map(([first, services, attached]) =>
          // As text and back: plain objects, as they come from a file or from Redis.
          JSON.parse(JSON.stringify(tableOf(first, ...services, ...attached.filter(row => row !== null)))),
        ),
    },
  )
