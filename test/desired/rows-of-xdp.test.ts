import assert from 'node:assert/strict'
import { test } from 'node:test'
import { xdpServiceRows } from '../../reconciler/desired/rows-of-xdp.ts'
import { Service } from '../../schemas/manifest/service.ts'

const rowsOf = (spec: object) => {
  const service = Service.parse({
    apiVersion: 'ballast.dev/v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { vip: '203.0.113.10', ports: [{ port: 80, protocol: 'tcp' }], ...spec },
  })
  return Object.fromEntries(xdpServiceRows(service, service.spec.backends!))
}
const backends = [{ address: '10.0.0.2' }, { address: '10.0.0.1' }]

test('a range of ports, and all ports, are one row each', () => {
  const rows = rowsOf({
    backends,
    ports: [
      { port: 8000, endPort: 8999, protocol: 'tcp' },
      { port: 'all', protocol: 'udp' },
      { port: 53, endPort: 53, protocol: 'udp' },
    ],
  })
  assert.deepEqual(
    Object.entries(rows).map(([key, { port, endPort }]) => [key, port, endPort]),
    [
      ['service/203.0.113.10:8000-8999/tcp', 8000, 8999],
      ['service/203.0.113.10:1-65535/udp', 1, 65535],
      ['service/203.0.113.10:53/udp', 53, undefined],
    ],
  )
})

test('an access list with allowed prefixes lets nobody else in, one of denied prefixes everybody else', () => {
  const accessOf = (access: object) => rowsOf({ backends, access })['service/203.0.113.10:80/tcp']!.access
  assert.deepEqual(accessOf({ allow: ['10.2.0.0/16', '10.1.0.0/16'], deny: ['10.1.2.0/24'] }), {
    otherwise: 'deny',
    allow: ['10.1.0.0/16', '10.2.0.0/16'],
    deny: ['10.1.2.0/24'],
  })
  assert.deepEqual(accessOf({ deny: ['2001:DB8:0::/32'] }), {
    otherwise: 'allow',
    allow: [],
    deny: ['2001:db8::/32'],
  })
  assert.equal(accessOf({}), undefined)
})

test('a limit of new flows has a burst of one second, and is of one IPv4 address or IPv6 network', () => {
  const { flowLimit } = rowsOf({ backends, flowLimit: { perSecond: 50 } })['service/203.0.113.10:80/tcp']!
  assert.deepEqual(flowLimit, { perSecond: 50, burst: 50, ipv4Bits: 32, ipv6Bits: 64 })
})

test('UDP ports of a service with quic have the server ids, its TCP ports do not', () => {
  const rows = rowsOf({
    ports: [
      { port: 443, protocol: 'udp' },
      { port: 443, protocol: 'tcp' },
    ],
    quic: { configId: 3 },
    backends: [
      { address: '10.0.0.2', quicServerId: '0B' },
      { address: '10.0.0.1', quicServerId: '0a' },
    ],
  })
  const [udp, tcp] = [rows['service/203.0.113.10:443/udp']!, rows['service/203.0.113.10:443/tcp']!]
  assert.deepEqual([udp.quic, tcp.quic], [{ configId: 3 }, undefined])
  assert.deepEqual(udp.backends, [
    { address: '10.0.0.1', weight: 100, serverId: '0a' },
    { address: '10.0.0.2', weight: 100, serverId: '0b' },
  ])
  assert.deepEqual(tcp.backends, [
    { address: '10.0.0.1', weight: 100 },
    { address: '10.0.0.2', weight: 100 },
  ])
})
