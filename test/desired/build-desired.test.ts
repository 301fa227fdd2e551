import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { selectNodes } from '../../reconciler/manifest/select-nodes.ts'
import { compareAddresses } from '../../schemas/address.ts'
import { digestOf } from '../../schemas/digest.ts'
import { Resource, type ResourceWritten } from '../../schemas/manifest/resource.ts'
import { NodeState } from '../../schemas/node-state.ts'
import { soundFleet } from '../manifest/arbitrary-manifests.ts'

const apiVersion = 'ballast.dev/v1'
const build = (...resources: object[]) =>
  buildDesired(resources.map(each => Resource.parse({ apiVersion, ...each })))

const fleet = { kind: 'Fleet', metadata: { name: 'demo' }, spec: { drift: 'hold' } }
const node = (name: string, spec: object = {}, labels = {}) => ({
  kind: 'Node',
  metadata: { name, labels },
  spec: { interfaces: [{ name: 'eth0' }], ...spec },
})
const service = (name: string, spec: object) => ({
  kind: 'Service',
  metadata: { name },
  spec: { vip: '203.0.113.10', ports: [{ port: 80, protocol: 'tcp' }], ...spec },
})
const pool = (name: string, backends: object[]) => ({
  kind: 'BackendPool',
  metadata: { name },
  spec: { backends },
})

test('a node has its settings, its interfaces and its services, each with the name that it came from', () => {
  const desired = build(
    fleet,
    node('lb-1', {
      sources: { ipv6: 'FD00:0::/64' },
      mtu: 1600,
      drain: { timeout: 60 },
      interfaces: [
        { name: 'eth0', attach: 'native', cpus: '5,1-3,2' },
        { name: 'eth1', cpus: 4 },
      ],
    }),
    service('web', {
      vip: ['2001:DB8::10', '203.0.113.10'],
      ports: [
        { port: 80, protocol: 'tcp' },
        { port: 443, protocol: 'udp' },
      ],
      udpIdleTimeout: 30,
      pool: 'web',
    }),
    pool('web', [
      { address: 'fd00::B', weight: 5 },
      { address: 'fd00::a', weight: 7, drain: true },
      { address: 'fd00::9' },
    ]),
  )
  const backends = [
    { address: 'fd00::9', weight: 100 },
    { address: 'fd00::a', weight: 0 },
    { address: 'fd00::b', weight: 5 },
  ]
  const row = (vip: string, port: number, protocol: string) => ({
    kind: 'service',
    vip,
    port,
    protocol,
    encapsulation: 'ipip',
    ring: { slots: 65537, differing: 0 },
    idleTimeout: 30,
    backends,
  })
  assert.deepEqual(desired.fleet, { name: 'demo', drift: 'hold' })
  assert.deepEqual([...desired.nodes.keys()], ['lb-1'])
  assert.deepEqual(desired.nodes.get('lb-1'), {
    state: {
      version: 1,
      node: 'lb-1',
      tables: {
        xdp: {
          settings: {
            kind: 'settings',
            fleet: 'demo',
            // First 16 hex digits of SHA-256 of the first 16 bytes of SHA-256 of `ballast fleet key: demo`.
            fleetKey: '1b019ba769715674',
            sources: { ipv4: '', ipv6: 'fd00::/64' },
            mtu: 1600,
            egress: 'hairpin',
            unmatched: 'drop',
            capacity: { flows: 1_000_000, services: 1024, members: 65_536 },
          },
          'interface/eth0': { kind: 'interface', name: 'eth0', attach: 'native', cpus: '1-3,5' },
          'interface/eth1': { kind: 'interface', name: 'eth1', attach: 'auto', cpus: '4' },
          'service/[2001:db8::10]:80/tcp': row('2001:db8::10', 80, 'tcp'),
          'service/[2001:db8::10]:443/udp': row('2001:db8::10', 443, 'udp'),
          'service/203.0.113.10:80/tcp': row('203.0.113.10', 80, 'tcp'),
          'service/203.0.113.10:443/udp': row('203.0.113.10', 443, 'udp'),
        },
        ipvs: {},
        bgp: {},
      },
    },
    handover: { shutdownTime: 2, drainTimeout: 60 },
    names: {
      'service/[2001:db8::10]:80/tcp': 'web',
      'service/[2001:db8::10]:443/udp': 'web',
      'service/203.0.113.10:80/tcp': 'web',
      'service/203.0.113.10:443/udp': 'web',
    },

    labels: {},
    driftPolicy: null,
  })
})

test('the fingerprint in the Fleet is that of the nodes', () => {
  const keyed = { ...fleet, spec: { fleetKey: { fingerprint: 'feedfacecafebeef' } } }
  const settings = build(keyed, node('lb-1')).nodes.get('lb-1')?.state.tables.xdp.settings
  assert.equal(settings?.kind === 'settings' && settings.fleetKey, 'feedfacecafebeef')
})

test('a selector takes the nodes that have all labels and one of the names', () => {
  const nodes = [
    node('a', {}, { zone: 'eu', rack: '1' }),
    node('b', {}, { zone: 'eu' }),
    node('c', {}, { zone: 'us' }),
  ]
    .map(each => Resource.parse({ apiVersion, ...each }))
    .filter(each => each.kind === 'Node')
  const names = (selector: Parameters<typeof selectNodes>[0]) =>
    selectNodes(selector, nodes).map(({ metadata }) => metadata.name)
  assert.deepEqual(names({}), ['a', 'b', 'c'])
  assert.deepEqual(names({ matchLabels: {} }), ['a', 'b', 'c'])
  assert.deepEqual(names({ matchLabels: { zone: 'eu' } }), ['a', 'b'])
  assert.deepEqual(names({ matchLabels: { zone: 'eu', rack: '1' } }), ['a'])
  assert.deepEqual(names({ names: ['c', 'a'] }), ['a', 'c'])
  assert.deepEqual(names({ matchLabels: { zone: 'eu' }, names: ['b', 'c'] }), ['b'])
  assert.deepEqual(names({ matchLabels: { toString: 'x' } }), [])
})

test('a service is on the nodes that it selects and on no other', () => {
  const desired = build(
    fleet,
    node('lb-1', {}, { zone: 'eu' }),
    node('lb-2', {}, { zone: 'us' }),
    service('web', { backends: [{ address: '10.0.0.1' }], nodes: { matchLabels: { zone: 'us' } } }),
  )
  assert.deepEqual(
    [...desired.nodes].map(([name, { names }]) => [name, Object.keys(names).length]),
    [
      ['lb-1', 0],
      ['lb-2', 1],
    ],
  )
})

test('services of one pool share one list of backends', () => {
  const { state } = build(
    fleet,
    node('lb-1'),
    pool('web', [{ address: '10.0.0.2' }, { address: '10.0.0.1' }]),
    service('a', { pool: 'web' }),
    service('b', { vip: '203.0.113.11', pool: 'web' }),
  ).nodes.get('lb-1')!
  const [a, b] = Object.values(state.tables.xdp).filter(row => row.kind === 'service')
  assert.equal(a!.backends.length, 2)
  assert.equal(a!.backends, b!.backends)
})

test('what no rule could have let through is refused with an error', () => {
  const backends = [{ address: '10.0.0.1' }]
  assert.throws(() => build(node('lb-1')), TypeError)
  assert.throws(() => build(fleet, service('web', { pool: 'nowhere' })), TypeError)
  assert.throws(() => build(fleet, service('web', { backends, forwarding: 'nat' })), TypeError)
})

const parseAll = (fleet: readonly ResourceWritten[]) => fleet.map(each => Resource.parse(each))

test('a sound fleet becomes states that their schema takes, with backends in the order of their addresses', () => {
  fc.assert(
    fc.property(soundFleet, fleet => {
      const resources = parseAll(fleet)
      const { nodes } = buildDesired(resources)
      assert.deepEqual(
        [...nodes.keys()],
        resources.flatMap(each => (each.kind === 'Node' ? [each.metadata.name] : [])),
      )
      for (const [name, { state, names }] of nodes) {
        assert.deepEqual(NodeState.parse(state), state)
        assert.equal(state.node, name)
        const rows = Object.entries(state.tables.xdp).filter(([key]) => key.startsWith('service/'))
        assert.deepEqual(Object.keys(names).toSorted(), rows.map(([key]) => key).toSorted())
        for (const [, row] of rows) {
          assert.ok(row.kind === 'service')
          assert.deepEqual(
            row.backends,
            row.backends.toSorted((a, b) => compareAddresses(a.address, b.address)),
          )
        }
      }
    }),
  )
})

test('GUE is variant 1 to port 6080 unless the manifest says more', () => {
  const built = build(
    fleet,
    node('lb-1'),
    service('a', { backends: [{ address: '10.0.0.1' }], forwarding: 'gue' }),
    service('b', {
      vip: '203.0.113.99',
      backends: [{ address: '10.0.0.1' }],
      forwarding: 'gue',
      gue: { variant: 0 },
    }),
  )
  const rows = Object.values(built.nodes.get('lb-1')!.state.tables.xdp).filter(row => row.kind === 'service')
  assert.ok(
    rows.every(row => !('hashBy' in row)),
    'what is chosen by the 5-tuple need not be said',
  )
  const ways = new Map(rows.map(({ vip, encapsulation, gue }) => [vip, [encapsulation, gue]]))
  assert.deepEqual(ways.get('203.0.113.99'), ['gue', { port: 6080, variant: 0 }])
  ways.delete('203.0.113.99')
  assert.deepEqual([...ways.values()], [['gue', { port: 6080, variant: 1 }]])
})

test('the order of the manifests makes no difference (rule 4)', () => {
  const withOrder = soundFleet.chain(each =>
    fc.tuple(fc.constant(each), fc.shuffledSubarray(each, { minLength: each.length })),
  )
  fc.assert(
    fc.property(withOrder, ([inOrder, shuffled]) => {
      const [a, b] = [buildDesired(parseAll(inOrder)), buildDesired(parseAll(shuffled))]
      assert.deepEqual(b, a)
      assert.deepEqual([...b.nodes.keys()], [...a.nodes.keys()])
      for (const [name, { state }] of a.nodes)
        assert.equal(digestOf(b.nodes.get(name)!.state), digestOf(state))
    }),
  )
})

test('the order in which backends are written makes no difference (rule 4)', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6())
  const lists = fc
    .uniqueArray(address, { minLength: 2, maxLength: 8 })
    .chain(list => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })))
  fc.assert(
    fc.property(lists, both => {
      const [a, b] = both.map(list =>
        build(
          fleet,
          node('lb-1'),
          pool(
            'web',
            list.map(each => ({ address: each })),
          ),
          service('web', { pool: 'web' }),
        ),
      )
      assert.deepEqual(a, b)
    }),
  )
})
