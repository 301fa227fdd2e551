import fc from 'fast-check'
import { fleetKeyFingerprint, fleetKeyFromName } from '../../reconciler/ring/flow-hash.ts'
import { addressFamily, compareAddresses, serviceId } from '../../schemas/address.ts'
import type {
  Access,
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
  return `service/${serviceId(row.vip, row.port, row.protocol, row.endPort)}`
}

export const tableOf = (...rows: readonly XdpRow[]): Table<XdpRow> =>
  Object.fromEntries(rows.map(row => [keyOfRow(row), row]))

/** `10.0.0.1=3` and the like; sorted, as rows have them. */
export const backendsOf = (...texts: readonly string[]): RowBackend[] =>
  texts
    .map(text => text.split('='))
    .map(([address, weight]) => ({ address: address!, weight: Number(weight ?? 1) }))
    .sort((a, b) => compareAddresses(a.address, b.address))

/** A field that is often absent. */
const optional = <Name extends string, T>(name: Name, value: fc.Arbitrary<T>) =>
  ({ [name]: fc.option(value, { nil: undefined }) }) as Record<Name, fc.Arbitrary<T | undefined>>

const withoutUndefined = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }

const settings = fc
  .record({
    mtu: fc.constantFrom(1500, 9000),
    egress: fc.constantFrom('hairpin', 'fib'),
    unmatched: fc.constantFrom('drop', 'pass'),
    ...optional('fragments', fc.constant('drop')),
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
  .map(fields => settingsRow(withoutUndefined(fields)))

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

const PREFIXES = ['0.0.0.0/0', '10.0.0.0/8', '10.1.2.3/32', '2001:db8::/32', '::/0'] as const

const access = fc
  .record({
    otherwise: fc.constantFrom('allow', 'deny'),
    allowed: fc.uniqueArray(fc.constantFrom(...PREFIXES), { minLength: 1 }),
    denied: fc.uniqueArray(fc.constantFrom(...PREFIXES)),
  })
  .map(
    ({ otherwise, allowed, denied }): Access => ({
      otherwise,
      allow: allowed.toSorted(),
      deny: denied.filter(prefix => !allowed.includes(prefix)).toSorted(),
    }),
  )

const flowLimit = fc.record({
  perSecond: fc.constantFrom(1, 1_000_000),
  burst: fc.constantFrom(1, 77),
  ipv4Bits: fc.constantFrom(0, 24, 32),
  ipv6Bits: fc.constantFrom(0, 56, 128),
})

const service = fc
  .record({
    vip: fc.constantFrom('203.0.113.1', '203.0.113.2', '2001:db8:f::1'),
    ports: fc.constantFrom<Pick<XdpServiceRow, 'port' | 'endPort'>[]>(
      { port: 80 },
      { port: 443 },
      { port: 80, endPort: 90 },
      { port: 8000, endPort: 8999 },
      { port: 1, endPort: 65535 },
    ),
    ...optional('access', access),
    ...optional('flowLimit', flowLimit),
    ...optional('handover', fc.constantFrom('from-ipvs' as const, 'to-ipvs' as const)),
    ...optional('quic', fc.record({ configId: fc.integer({ min: 0, max: 6 }) })),
    idBytes: fc.integer({ min: 1, max: 8 }),
    protocol: fc.constantFrom('tcp', 'udp'),
    idleTimeout: fc.constantFrom(30, 300),
    way: fc.constantFrom<Pick<XdpServiceRow, 'encapsulation' | 'gue' | 'hashBy'>[]>(
      { encapsulation: 'ipip' },
      { encapsulation: 'gue', gue: { variant: 1, port: 6080 } },
      { encapsulation: 'gue', gue: { variant: 0, port: 666 }, hashBy: 'source' },
      { encapsulation: 'gue', gue: { variant: 1, port: 6080, checksum: 'computed' } },
      { encapsulation: 'l2' },
    ),
  })
  .map(({ way, ports, ...fields }) => ({ ...fields, ...way, ...ports }))
  .chain(({ idBytes, ...fields }) =>
    fc.record({
      ...mapConstants(fields),
      backends: backends(fields.vip).map(list => (fields.quic ? withServerIds(list, idBytes) : list)),
    }),
  )
  .map(fields => serviceRow(withoutUndefined(fields)))

/** Ids of one length, each its own: the last byte tells. */
const withServerIds = (list: readonly RowBackend[], bytes: number): RowBackend[] =>
  list.map((backend, i) => ({
    ...backend,
    serverId: `${'c5'.repeat(bytes - 1)}${i.toString(16).padStart(2, '0')}`,
  }))

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
