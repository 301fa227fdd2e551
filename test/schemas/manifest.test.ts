import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BackendPool } from '../../schemas/manifest/backend-pool.ts'
import { Fleet } from '../../schemas/manifest/fleet.ts'
import { Node } from '../../schemas/manifest/node.ts'
import { Resource } from '../../schemas/manifest/resource.ts'
import { Service } from '../../schemas/manifest/service.ts'
import { anyResource } from '../manifest/arbitrary-manifests.ts'

const apiVersion = 'ballast.dev/v1'

test('normalising twice changes nothing, nor does JSON in between', () => {
  fc.assert(
    fc.property(anyResource, resource => {
      const once = Resource.parse(resource)
      assert.deepEqual(Resource.parse(once), once)
      assert.deepEqual(Resource.parse(JSON.parse(JSON.stringify(once))), once)
    }),
  )
})

test('what is left out of a Service gets its default', () => {
  const { spec, metadata } = Service.parse({
    apiVersion,
    kind: 'Service',
    metadata: { name: 'web' },
    spec: {
      vip: '2001:DB8:0::0010',
      ports: [{ port: 80, protocol: 'tcp' }],
      backends: [{ address: '::ffff:10.0.0.1' }],
    },
  })
  assert.deepEqual(metadata, { name: 'web', labels: {}, annotations: {} })
  assert.deepEqual(spec, {
    vip: ['2001:db8::10'],
    ports: [{ port: 80, protocol: 'tcp' }],
    nodes: {},
    dataplane: 'xdp',
    forwarding: 'ipip',
    hashBy: 'flow',
    scheduler: 'maglev',
    mixedRings: false,
    udpIdleTimeout: 120,
    backends: [{ address: '10.0.0.1', weight: 100, drain: false, labels: {} }],
  })
})

test('what is left out of a Node gets its default', () => {
  const { spec } = Node.parse({
    apiVersion,
    kind: 'Node',
    metadata: { name: 'lb' },
    spec: { interfaces: [{ name: 'eth0' }] },
  })
  assert.deepEqual(spec, {
    interfaces: [{ name: 'eth0', attach: 'auto' }],
    egress: 'hairpin',
    sources: {},
    mtu: 1500,
    unmatched: 'drop',
    fragments: 'track',
    addresses: [],
    capacity: { flows: 1_000_000, services: 1024, members: 65_536 },
    ipvs: { interface: 'lo', sync: [], sysctls: {} },
    drain: { shutdownTime: 2, timeout: 30 },
    maintenance: false,
  })
})

test('a Fleet needs no more than its name', () => {
  const { spec } = Fleet.parse({ apiVersion, kind: 'Fleet', metadata: { name: 'demo' } })
  assert.deepEqual(spec, { vipPrefixes: [], drift: 'repair', requireReviewedPlan: 'never' })
})

test('names are DNS labels, and weights and ports have their bounds', () => {
  const pool = (name: string, backend: object) =>
    BackendPool.safeParse({
      apiVersion,
      kind: 'BackendPool',
      metadata: { name },
      spec: { backends: [{ address: '10.0.0.1', ...backend }] },
    }).success
  for (const name of ['a', '0', 'a-b', 'a'.repeat(63)]) assert.ok(pool(name, {}), name)
  for (const name of ['', '-a', 'a-', 'A', 'a.b', 'a_b', 'a'.repeat(64), 'a\n'])
    assert.ok(!pool(name, {}), name)
  for (const backend of [{ weight: 0 }, { weight: 65535 }, { port: 1 }, { port: 65535 }])
    assert.ok(pool('web', backend))
  for (const backend of [{ weight: -1 }, { weight: 65536 }, { weight: 1.5 }, { port: 0 }, { port: 65536 }])
    assert.ok(!pool('web', backend))
})
