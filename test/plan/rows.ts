import fc from 'fast-check'
import { serviceId } from '../../schemas/address.ts'
import {
  emptyTables,
  type NodeTables,
  type Protocol,
  type RowBackend,
  type XdpInterfaceRow,
  type XdpServiceRow,
  type XdpSettingsRow,
} from '../../schemas/node-state.ts'

export const settingsRow = (change: Partial<XdpSettingsRow> = {}): XdpSettingsRow => ({
  kind: 'settings',
  fleet: 'test',
  fleetKey: '0123456789abcdef',
  sources: { ipv4: '10.0.0.1/32', ipv6: '' },
  mtu: 1500,
  egress: 'hairpin',
  unmatched: 'drop',
  capacity: { flows: 1000, services: 16, members: 64 },
  ...change,
})

export const interfaceRow = (attach: XdpInterfaceRow['attach'], name = 'eth0'): XdpInterfaceRow => ({
  kind: 'interface',
  name,
  attach,
})

export function serviceRow(
  vip: string,
  backends: readonly RowBackend[],
  { port = 80, protocol = 'tcp' as Protocol, idleTimeout = 120 } = {},
): XdpServiceRow {
  const ring = { slots: 65537, differing: 0 }
  return {
    kind: 'service',
    vip,
    port,
    protocol,
    encapsulation: 'ipip',
    ring,
    idleTimeout,
    backends: [...backends],
  }
}

export const backend = (address: string, weight = 100): RowBackend => ({ address, weight })

/** Tables of the xdp driver, each service under its own key. */
export function tablesOf(...rows: NodeTables['xdp'][string][]): NodeTables {
  const tables = emptyTables()
  for (const row of rows) tables.xdp[keyOf(row)] = row
  return tables
}

export function keyOf(row: NodeTables['xdp'][string]): string {
  if (row.kind === 'settings') return 'settings'
  if (row.kind === 'interface') return `interface/${row.name}`
  return `service/${serviceId(row.vip, row.port, row.protocol)}`
}

const anyBackends = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 3 })), {
    selector: ([host]) => host,
    minLength: 1,
    maxLength: 4,
  })
  .map(pairs => pairs.sort(([a], [b]) => a - b).map(([host, weight]) => backend(`10.0.1.${host}`, weight)))

const anyService = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom(80, 443), fc.constantFrom('tcp', 'udp'), anyBackends)
  .map(([host, port, protocol, backends]) =>
    serviceRow(`203.0.113.${host}`, backends, { port, protocol: protocol as Protocol }),
  )

/** A small world, so that two draws often share keys. */
export const anyTables: fc.Arbitrary<NodeTables> = fc
  .tuple(
    fc.option(fc.integer({ min: 1400, max: 1403 })),
    fc.option(fc.constantFrom('native' as const, 'generic' as const)),
    fc.array(anyService, { maxLength: 6 }),
  )
  .map(([mtu, attach, services]) =>
    tablesOf(
      ...(mtu === null ? [] : [settingsRow({ mtu })]),
      ...(attach === null ? [] : [interfaceRow(attach)]),
      ...services,
    ),
  )
