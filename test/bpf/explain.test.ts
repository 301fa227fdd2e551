import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { explainFlow } from '../../reconciler/ring/explain-flow.ts'
import { type FlowTuple, splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import { buildRing } from '../../reconciler/ring/maglev.ts'
import { addressFromBytes, serviceId } from '../../schemas/address.ts'
import { HashBy, type XdpRow, type XdpServiceRow, type XdpSettingsRow } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { buildObjects, FLEET_KEY, member, needsRoot, openBalancer } from './balancer.ts'
import { buildFrame, ETHERNET_BYTES, Tcp } from './packet.ts'

const VIPS = ['203.0.113.10', '203.0.113.11', '2001:db8:ffff::10'] as const
const PORTS = [80, 443, 6080] as const
const PROTOCOLS = ['tcp', 'udp'] as const

const backends = fc
  .uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 12 })
  .chain(hosts =>
    fc.tuple(
      fc.constant(hosts.toSorted((a, b) => a - b)),
      fc.constantFrom('4', '6'),
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: hosts.length, maxLength: hosts.length }),
    ),
  )
  .map(([hosts, family, weights]) =>
    hosts.map((host, i) => ({
      address: family === '4' ? `10.9.0.${host}` : `2001:db8:9::${host}`,
      weight: weights[i]!,
    })),
  )

const way = fc.constantFrom<Pick<XdpServiceRow, 'encapsulation' | 'gue'>[]>(
  { encapsulation: 'ipip' },
  { encapsulation: 'gue', gue: { variant: 1, port: 6080 } },
  { encapsulation: 'gue', gue: { variant: 0, port: 999 } },
)

const service = fc
  .record({
    vip: fc.constantFrom(...VIPS),
    port: fc.constantFrom(...PORTS),
    protocol: fc.constantFrom(...PROTOCOLS),
    way,
    hashBy: fc.option(fc.constantFrom(...HashBy.options), { nil: undefined }),
    backends,
  })
  .map(({ way, hashBy, ...rest }): XdpServiceRow => {
    const ring = { slots: RING_SLOTS, differing: 0 }
    return { kind: 'service', idleTimeout: 60, ring, ...rest, ...way, ...(hashBy && { hashBy }) }
  })
const keyOf = (row: XdpServiceRow): string => `service/${serviceId(row.vip, row.port, row.protocol)}`

const settings = fc
  .record({
    unmatched: fc.constantFrom('drop' as const, 'pass' as const),
    sources: fc.record({
      ipv4: fc.constantFrom('', '10.64.0.1/32', '10.64.0.0/13'),
      ipv6: fc.constantFrom('', '2001:db8:64::/57', '2001:db8:64::1/128'),
    }),
  })
  .map(
    (fields): XdpSettingsRow => ({
      kind: 'settings',
      fleet: 'test',
      fleetKey: '0123456789abcdef',
      mtu: 1500,
      egress: 'hairpin',
      capacity: { flows: 64, services: 8, members: 1024 },
      ...fields,
    }),
  )

const tuple = fc
  .record({
    host: fc.integer({ min: 1, max: 65535 }),
    sourcePort: fc.integer({ min: 1, max: 65535 }),
    vip: fc.constantFrom(...VIPS, '203.0.113.12'),
    port: fc.constantFrom(...PORTS),
    protocol: fc.constantFrom(...PROTOCOLS),
  })
  .map(({ host, ...rest }): FlowTuple => {
    const ipv6 = rest.vip.includes(':')
    return { ...rest, source: ipv6 ? `2001:db8:1::${host.toString(16)}` : `11.0.${host >> 8}.${host & 255}` }
  })

suite('what explain says of a flow', { skip: needsRoot }, () => {
  before(buildObjects)

  test('is what the program does, for random nodes and flows (rule 4)', async () => {
    const services = fc.uniqueArray(service, { minLength: 1, maxLength: 5, selector: keyOf })
    const flows = fc.array(tuple, { minLength: 60, maxLength: 60 })
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(services, settings, flows, async (rows, row, tuples) => {
        // An IPv6 VIP with IPv4 backends is refused before it comes to a node, but the program would carry it.
        const table: Record<string, XdpRow> = Object.fromEntries(rows.map(each => [keyOf(each), each]))
        table.settings = row
        using balancer = await openBalancer({
          flowBuckets: 1024,
          settings: row,
          services: rows.map(({ backends, ...each }) => ({
            ...each,
            members: backends.map(({ address, weight }) => member(address, { weight })),
            slots: buildRing(backends),
          })),
        })
        for (const each of new Map(tuples.map(one => [JSON.stringify(one), one])).values()) {
          const said = explainFlow(table, splitFleetKey(FLEET_KEY), each)
          const { frame } = balancer.send(buildFrame({ ...each, tcpFlags: Tcp.syn }))
          assert.deepEqual(Object.keys(balancer.counted()), [said.reason])
          seen.add(said.reason)
          if (said.encapsulation === null) continue
          const outer = outerOf(frame)
          const { source, destination, ports } = said.encapsulation
          assert.deepEqual([outer.source, outer.destination], [source, destination])
          assert.equal(said.backend, destination)
          if (ports !== null) assert.deepEqual(outer.ports, [ports.source, ports.destination])
        }
      }),
      { numRuns: 25 },
    )
    assert.ok(seen.has('forwarded_ring') && seen.has('pass_not_vip') && seen.has('drop_unmatched'))
  })
})

function outerOf(frame: Buffer) {
  const ip = frame.subarray(ETHERNET_BYTES)
  const ipv6 = ip[0]! >> 4 === 6
  const [at, size, header] = ipv6 ? [8, 16, 40] : [12, 4, 20]
  const read = (from: number): string => {
    const bytes = ip.subarray(from, from + size)
    return addressFromBytes(
      ipv6 ? bytes : Buffer.concat([Buffer.from('00000000000000000000ffff', 'hex'), bytes]),
    )
  }
  return {
    source: read(at),
    destination: read(at + size),
    ports: [ip.readUInt16BE(header), ip.readUInt16BE(header + 2)],
  }
}
