import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { allHealthy, effectiveTables } from '../../reconciler/effective/effective-tables.ts'
import { Resource } from '../../schemas/manifest/resource.ts'
import type { BgpRow } from '../../schemas/node-state.ts'

const resource = (kind: string, name: string, spec: object, labels = {}) =>
  Resource.parse({ apiVersion: 'ballast.dev/v1', kind, metadata: { name, labels }, spec })
const FLEET = resource('Fleet', 'demo', {})
const node = (name: string, id: number, bgp: object | null = { asn: 65001 }) =>
  resource('Node', name, {
    interfaces: [{ name: 'eth0' }],
    addresses: [`fd00::${id}`, `10.0.0.${id}`],
    ...(bgp && { bgp }),
  })
const peer = (name: string, spec: object = {}) =>
  resource('BgpPeer', name, { address: '10.0.0.254', asn: 64512, ...spec })
const service = (name: string, spec: object) =>
  resource('Service', name, {
    vip: '203.0.113.10',
    ports: [{ port: 80, protocol: 'tcp' }],
    backends: [{ address: '10.0.1.1' }, { address: '10.0.1.2' }],
    ...spec,
  })

const bgpOf = (name: string, ...manifests: Resource[]) =>
  buildDesired([FLEET, ...manifests]).nodes.get(name)!.state.tables.bgp
const routeOf = (rows: Readonly<Record<string, BgpRow>>, prefix: string) => rows[`route/${prefix}`]

test('a node that speaks BGP has its sessions, and a route to what it serves and announces', () => {
  const rows = bgpOf(
    'lb-1',
    node('lb-1', 1),
    node('lb-2', 2),
    peer('tor-1', { bfd: {}, nodes: { names: ['lb-1'] } }),
    peer('tor-2', { nodes: { names: ['lb-2'] } }),
    service('web', {
      announce: { communities: ['64512:2', '64512:1', '64512:2'], med: 5, minHealthyBackends: 2 },
    }),
    service('elsewhere', { vip: '203.0.113.11', announce: true, nodes: { names: ['lb-2'] } }),
    service('silent', { vip: '203.0.113.12' }),
  )
  assert.deepEqual(rows, {
    speaker: { kind: 'speaker', daemon: 'bird', asn: 65001, routerId: '10.0.0.1' },
    'peer/tor-1': {
      kind: 'peer',
      name: 'tor-1',
      address: '10.0.0.254',
      localAddress: '',
      asn: 64512,
      port: 179,
      password: null,
      ttl: 1,
      bfd: { interval: 200, multiplier: 4 },
      timers: { hold: 9, keepalive: 3, retry: 5 },
      gracefulRestart: 0,
      families: ['ipv4'],
      exportLimit: 1000,
    },
    'route/203.0.113.10/32': {
      kind: 'route',
      prefix: '203.0.113.10/32',
      peers: ['tor-1'],
      communities: ['64512:1', '64512:2'],
      largeCommunities: [],
      med: 5,
      localPreference: null,
      prepend: 0,
    },
    'condition/203.0.113.10/32': {
      kind: 'condition',
      prefix: '203.0.113.10/32',
      services: [{ key: 'service/203.0.113.10:80/tcp', minHealthyBackends: 2 }],
    },
  })
})

test('a node without BGP has nothing of it', () => {
  assert.deepEqual(bgpOf('lb-1', node('lb-1', 1, null), peer('tor'), service('web', { announce: true })), {})
})

test('a route goes to the peers that are named, and that take its family', () => {
  const rows = bgpOf(
    'lb-1',
    node('lb-1', 1),
    peer('one'),
    peer('two', { address: '10.0.0.253', families: ['ipv4', 'ipv6'] }),
    service('web', { vip: ['203.0.113.10', '2001:db8::10'], announce: true }),
    service('api', { vip: '203.0.113.11', announce: { peers: ['one'] } }),
  )
  const peersOf = (prefix: string) => {
    const row = routeOf(rows, prefix)
    return row?.kind === 'route' && row.peers
  }
  assert.deepEqual(peersOf('203.0.113.10/32'), ['one', 'two'])
  assert.deepEqual(peersOf('2001:db8::10/128'), ['two'])
  assert.deepEqual(peersOf('203.0.113.11/32'), ['one'])
})

test('a route is withdrawn while none under it has enough backends that get new flows', () => {
  const announced = (web: object, api: object, healthy = allHealthy) => {
    const { tables } = buildDesired([
      FLEET,
      node('lb-1', 1),
      peer('tor'),
      service('web', { announce: { aggregate: ['203.0.113.0/24'], minHealthyBackends: 2 }, ...web }),
      service('api', { vip: '203.0.113.11', announce: { aggregate: ['203.0.113.0/24'] }, ...api }),
    ]).nodes.get('lb-1')!.state
    const { bgp } = effectiveTables(tables, healthy)
    assert.deepEqual(
      Object.values(bgp).filter(({ kind }) => kind === 'condition'),
      [],
    )
    assert.ok(bgp.speaker)
    return routeOf(bgp, '203.0.113.0/24') !== undefined
  }
  const drained = {
    backends: [
      { address: '10.0.1.1', drain: true },
      { address: '10.0.1.2', weight: 0 },
    ],
  }
  const half = { backends: [{ address: '10.0.1.1', drain: true }, { address: '10.0.1.2' }] }
  assert.equal(announced({}, {}), true)
  assert.equal(announced(half, {}), true)
  assert.equal(announced({}, drained), true)
  assert.equal(announced(half, drained), false)
  assert.equal(
    announced({}, {}, (_, address) => (address === '10.0.1.1' ? 1 : 0)),
    true,
  )
  assert.equal(
    announced({}, {}, () => 0),
    false,
  )
})

test('a table without conditions stays the same object', () => {
  const { tables } = buildDesired([FLEET, node('lb-1', 1)]).nodes.get('lb-1')!.state
  assert.equal(effectiveTables(tables, allHealthy), tables)
})

test('a node in maintenance keeps its sessions and announces nothing', () => {
  const resting = (maintenance: boolean) =>
    resource('Node', 'lb-1', {
      interfaces: [{ name: 'eth0' }],
      addresses: ['10.0.0.1'],
      bgp: { asn: 65001 },
      maintenance,
    })
  const web = service('web', { announce: true })
  const keys = (maintenance: boolean) =>
    Object.keys(bgpOf('lb-1', resting(maintenance), peer('tor'), web)).sort()
  assert.deepEqual(keys(true), ['peer/tor', 'speaker'])
  assert.deepEqual(keys(false), ['condition/203.0.113.10/32', 'peer/tor', 'route/203.0.113.10/32', 'speaker'])
})
