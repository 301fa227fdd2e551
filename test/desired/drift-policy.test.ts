import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { Resource, type ResourceWritten } from '../../schemas/manifest/resource.ts'

const apiVersion = 'ballast.dev/v1' as const
type Spec = Record<string, unknown>

const policyOf = (fleet: Spec, node: Spec, services: Readonly<Record<string, Spec>> = {}) => {
  const manifests = [
    { apiVersion, kind: 'Fleet', metadata: { name: 'test' }, spec: fleet },
    {
      apiVersion,
      kind: 'Node',
      metadata: { name: 'lb-1' },
      spec: { interfaces: [{ name: 'eth0' }], ...node },
    },
    ...Object.entries({ web: {}, ...services }).map(([name, spec], index) => ({
      ...{ apiVersion, kind: 'Service', metadata: { name } },
      spec: {
        vip: `203.0.113.${index + 1}`,
        ports: [{ port: 80, protocol: 'tcp' }],
        backends: [{ address: '10.0.1.1' }],
        ...spec,
      },
    })),
  ]
  return buildDesired(manifests.map(each => Resource.parse(each as ResourceWritten))).nodes.get('lb-1')
    ?.driftPolicy
}

test('a policy that the Fleet alone has, and that is one word, needs no table', () => {
  assert.equal(policyOf({}, {}), null)
  assert.equal(policyOf({ drift: 'hold' }, {}), null)
})

test('Service, Node, Fleet: the nearer one counts, its kind before its rest', () => {
  assert.deepEqual(policyOf({ drift: { repairAfter: '5m' } }, {}), {
    node: { all: { repairAfter: 300_000 }, kinds: {} },
    rows: {},
  })
  assert.deepEqual(
    policyOf(
      { drift: 'hold', driftByKind: { missing: 'repair' } },
      { driftByKind: { unexpected: 'hold' } },
      { dns: { drift: 'repair' }, mail: { driftByKind: { missing: { repairAfter: '90s' } } } },
    ),
    {
      node: { all: 'hold', kinds: { missing: 'repair', unexpected: 'hold' } },
      rows: {
        'service/203.0.113.2:80/tcp': { all: 'repair', kinds: {} },
        'service/203.0.113.3:80/tcp': {
          all: 'hold',
          kinds: { missing: { repairAfter: 90_000 }, unexpected: 'hold' },
        },
      },
    },
  )
})

test('a route has the rule of the Service that announces it; of several, what waits longest', () => {
  const shared = { vip: '203.0.113.9', announce: true }
  const policy = policyOf(
    {},
    { addresses: ['10.80.1.1'], bgp: { asn: 64_513 } },
    {
      alone: { announce: true, drift: 'hold' },
      plain: { announce: true },
      first: { ...shared, driftByKind: { missing: { repairAfter: '90s' }, changed: 'hold' } },
      second: { ...shared, ports: [{ port: 81, protocol: 'tcp' }], drift: { repairAfter: '60s' } },
      third: { ...shared, ports: [{ port: 82, protocol: 'tcp' }] },
    },
  )
  const routes = Object.entries(policy!.rows).filter(([key]) => key.startsWith('route/'))
  assert.deepEqual(Object.fromEntries(routes), {
    'route/203.0.113.2/32': { all: 'hold', kinds: {} },
    'route/203.0.113.9/32': {
      all: { repairAfter: 60_000 },
      kinds: { missing: { repairAfter: 90_000 }, changed: 'hold' },
    },
  })
})

test('what is no policy is refused', () => {
  for (const drift of ['mend', { repairAfter: '5' }, { repairAfter: '5m', hold: true }, {}]) {
    const fleet = { apiVersion, kind: 'Fleet', metadata: { name: 'test' }, spec: { drift } }
    assert.equal(Resource.safeParse(fleet).success, false, JSON.stringify(drift))
  }
})
