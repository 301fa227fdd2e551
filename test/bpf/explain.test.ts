import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { type ExplainedPacket, explainFlow } from '../../reconciler/ring/explain-flow.ts'
import { splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import { buildRing } from '../../reconciler/ring/maglev.ts'
import { addressFromBytes, serviceId } from '../../schemas/address.ts'
import {
  type Access,
  HashBy,
  type XdpRow,
  type XdpServiceRow,
  type XdpSettingsRow,
} from '../../schemas/node-state.ts'
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

/** Half of the sources below are in one of these. */
const access = fc.option(
  fc.constantFrom<Access[]>(
    { otherwise: 'deny', allow: ['11.0.0.0/17', '2001:db8:1::/113'], deny: ['11.0.64.0/18'] },
    { otherwise: 'allow', allow: ['11.0.3.0/24'], deny: ['11.0.0.0/18', '2001:db8:1::8000/113'] },
  ),
  { nil: undefined },
)
const CONFIG_ID = 3

const service = fc
  .record({
    vip: fc.constantFrom(...VIPS),
    ports: fc.constantFrom<Pick<XdpServiceRow, 'port' | 'endPort'>[]>(
      ...PORTS.map(port => ({ port })),
      { port: 80, endPort: 443 },
      { port: 400, endPort: 7000 },
      { port: 1, endPort: 65535 },
    ),
    protocol: fc.constantFrom(...PROTOCOLS),
    access,
    isQuic: fc.boolean(),
    way,
    hashBy: fc.option(fc.constantFrom(...HashBy.options), { nil: undefined }),
    backends,
  })
  .map(({ way, ports, hashBy, access, isQuic, backends, ...rest }): XdpServiceRow => {
    const quic = isQuic && rest.protocol === 'udp'
    return {
      kind: 'service',
      idleTimeout: 60,
      ring: { slots: RING_SLOTS, differing: 0 },
      ...rest,
      ...ports,
      ...way,
      ...(hashBy && { hashBy }),
      ...(access && { access }),
      ...(quic && { quic: { configId: CONFIG_ID } }),
      backends: quic ? backends.map((each, i) => ({ ...each, serverId: serverIdOf(i) })) : backends,
    }
  })
const serverIdOf = (index: number): string => `5e${index.toString(16).padStart(2, '0')}`
const keyOf = (row: XdpServiceRow): string =>
  `service/${serviceId(row.vip, row.port, row.protocol, row.endPort)}`

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
    port: fc.constantFrom(...PORTS, 200, 5000, 7001),
    protocol: fc.constantFrom(...PROTOCOLS),
    named: fc.option(fc.integer({ min: 0, max: 14 }), { nil: undefined }),
  })
  .map(({ host, named, ...rest }): ExplainedPacket => {
    const ipv6 = rest.vip.includes(':')
    const isNamed = named !== undefined && rest.protocol === 'udp'
    const id = isNamed
      ? { connectionId: `${(CONFIG_ID << 5).toString(16)}${serverIdOf(named)}0123456789` }
      : {}
    return {
      ...rest,
      ...id,
      source: ipv6 ? `2001:db8:1::${host.toString(16)}` : `11.0.${host >> 8}.${host & 255}`,
    }
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
          nearBuckets: 1024,
          settings: row,
          services: rows.map(({ backends, quic, ...each }) => ({
            ...each,
            ...(quic && {
              quic: { ...quic, serverIds: Object.fromEntries(backends.map((_, i) => [i, serverIdOf(i)])) },
            }),
            members: backends.map(({ address, weight }) => member(address, { weight })),
            slots: buildRing(backends),
          })),
        })
        for (const each of new Map(tuples.map(one => [JSON.stringify(one), one])).values()) {
          const said = explainFlow(table, splitFleetKey(FLEET_KEY), each)
          const payload = Buffer.from(`40${each.connectionId ?? 'ff'}${'00'.repeat(20)}`, 'hex')
          const { frame } = balancer.send(buildFrame({ ...each, payload, tcpFlags: Tcp.syn }))
          const { quic_unknown_id: _, ...counted } = balancer.counted()
          assert.deepEqual(Object.keys(counted), [said.reason])
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
    for (const reason of [
      'forwarded_ring',
      'forwarded_quic',
      'drop_access',
      'drop_unmatched',
      'pass_not_vip',
    ])
      assert.ok(seen.has(reason), `${reason} was not among ${[...seen].join(', ')}`)
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
