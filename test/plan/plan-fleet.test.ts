import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sideOf } from '../../reconciler/controller/plan-side.ts'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { makeFleetPlan, planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { renderTerminal } from '../../reconciler/render/render-terminal.ts'
import type { NodeTables, RowBackend } from '../../schemas/node-state.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import { anyTables, backend, serviceRow, settingsRow, tablesOf } from './rows.ts'

const fleet = (...tables: NodeTables[]) => new Map(tables.map((each, index) => [`lb-${index + 1}`, each]))
const web = (...backends: RowBackend[]) => tablesOf(serviceRow('203.0.113.1', backends))
const plan = (before: Map<string, NodeTables>, after: Map<string, NodeTables>) =>
  planFleet({ base: null, head: null, before, after, names: { 'service/203.0.113.1:80/tcp': 'web' } })

const [a, b, c] = [backend('10.0.1.1'), backend('10.0.1.2'), backend('10.0.1.3')]

test('one backend more of two takes its share, little above what must move', () => {
  const made = plan(fleet(web(a, b)), fleet(web(a, b, c)))
  const service = made.services[0]!
  assert.equal(service.service, 'web')
  assert.equal(service.change, 'update')
  const { moved, minimum, slots, backends } = service.impact
  assert.ok(minimum >= Math.floor(slots / 3) && minimum <= Math.ceil(slots / 3))
  assert.ok(moved >= minimum && moved < minimum * 1.2, `${moved} of at least ${minimum}`)
  assert.deepEqual(
    backends.map(({ address, share_before, share_after }) => [
      address,
      share_before.toFixed(2),
      share_after.toFixed(2),
    ]),
    [
      ['10.0.1.1', '0.50', '0.33'],
      ['10.0.1.2', '0.50', '0.33'],
      ['10.0.1.3', '0.00', '0.33'],
    ],
  )
})

test('nodes that change alike are one entry, one that differs is another', () => {
  const made = plan(fleet(web(a), web(a), web(a)), fleet(web(b), web(b), web(a, b)))
  assert.deepEqual(
    made.services
      .map(({ nodes, node_count }) => ({ nodes, node_count }))
      .sort((x, y) => x.nodes.length - y.nodes.length),
    [
      { nodes: ['lb-3'], node_count: 3 },
      { nodes: ['lb-1', 'lb-2'], node_count: 3 },
    ],
  )
})

const risks: [string, NodeTables, NodeTables, string[]][] = [
  ['a service that goes', web(a, b), tablesOf(), ['service-removed']],
  ['a service that comes', tablesOf(), web(a, b), ['ports-opened']],
  ['half of the backends at once', web(a, b), web(a), ['backend-share-removed']],
  [
    'the last backend drained',
    web(a),
    web(backend('10.0.1.1', 0)),
    ['all-backends-drained', 'backend-share-removed'],
  ],
  ['one of many backends', web(a, b, c, backend('10.0.1.4')), web(a, b, c), []],
  ['one weight far above the others', web(a, b), web(a, b, c, ...manyAround(10_000)), ['weights-skewed']],
]

function manyAround(weight: number): RowBackend[] {
  return [4, 5, 6, 7].map(host => backend(`10.0.1.${host}`, host === 4 ? weight : 100))
}

for (const [title, before, after, expected] of risks) {
  test(`risk: ${title}`, () => {
    assert.deepEqual(plan(fleet(before), fleet(after)).services[0]?.risk, expected)
  })
}

test('the digest is of what is done, not of who asks: the same edits between other revisions have the same one', () => {
  const input = { before: fleet(web(a)), after: fleet(web(b)), names: {} }
  const one = planFleet({ ...input, base: '1'.repeat(40), head: '2'.repeat(40) })
  const two = planFleet({ ...input, base: '3'.repeat(40), head: '4'.repeat(40) })
  assert.equal(one.digest, two.digest)
  assert.notEqual(one.digest, planFleet({ ...input, after: fleet(web(c)), base: null, head: null }).digest)
})

test('every plan has the shape of its schema, counts every service of every node, and can be shown', () => {
  fc.assert(
    fc.property(anyTables, anyTables, anyTables, anyTables, (w, x, y, z) => {
      const made = plan(fleet(w, x), fleet(y, z))
      assert.deepEqual(FleetPlan.parse(JSON.parse(JSON.stringify(made))), made)
      const { create, update, delete: gone, unchanged } = made.totals
      const keys = [w, x].map((before, index) => ({ ...before.xdp, ...[y, z][index]!.xdp }))
      const services = keys.flatMap(rows => Object.values(rows)).filter(({ kind }) => kind === 'service')
      assert.equal(create + update + gone + unchanged, services.length)
      assert.match(renderTerminal(made, { color: false }), /Plan: \d+ to create/)
    }),
    { numRuns: 30 },
  )
})

test('a change of settings is shown field by field', () => {
  const made = plan(fleet(tablesOf(settingsRow())), fleet(tablesOf(settingsRow({ mtu: 9000 }))))
  assert.deepEqual(made.nodes[0]?.details, ['mtu: 1500 → 9000'])
  assert.match(renderTerminal(made, { color: false }), /~ xdp settings {2}on lb-1\n {4}mtu: 1500 → 9000/)
})

test('a Service that is announced no more has an effect on traffic, and one whose annotation changes has none', () => {
  const sideOfManifests = (spec: object, annotations: object = {}) => {
    const manifests = [
      { kind: 'Fleet', metadata: { name: 'test' }, spec: {} },
      {
        kind: 'Node',
        metadata: { name: 'lb-1' },
        spec: { interfaces: [{ name: 'eth0' }], addresses: ['10.80.1.1'], bgp: { asn: 64_513 } },
      },
      {
        kind: 'Service',
        metadata: { name: 'web', annotations },
        spec: {
          vip: '203.0.113.10',
          ports: [{ port: 80, protocol: 'tcp' }],
          backends: [{ address: '10.0.1.1' }],
          ...spec,
        },
      },
    ].map((each, index) => ({
      path: `${index}.yaml`,
      text: JSON.stringify({ apiVersion: 'ballast.dev/v1', ...each }),
    }))
    const parsed = parseManifests(manifests).manifests
    const fleet = buildDesired(parsed)
    return sideOf({ revision: 'a'.repeat(40), fleet, manifests: parsed })
  }
  const announced = sideOfManifests({ announce: true })
  const effectOf = (after: ReturnType<typeof sideOf>) =>
    makeFleetPlan({ before: announced, after }).plan.objects.map(({ name, effect }) => ({ name, effect }))
  assert.deepEqual(effectOf(sideOfManifests({})), [{ name: 'web', effect: 'traffic' }])
  assert.deepEqual(makeFleetPlan({ before: announced, after: sideOfManifests({}) }).plan.nodes, [])
  assert.deepEqual(effectOf(sideOfManifests({ announce: { med: 50 } })), [{ name: 'web', effect: 'traffic' }])
  assert.deepEqual(effectOf(sideOfManifests({ announce: true }, { note: 'x' })), [
    { name: 'web', effect: 'none' },
  ])
})
