import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { explainRisk, severityOf } from '../../reconciler/plan/assess-risk.ts'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import type { IpvsServiceRow, NodeTables } from '../../schemas/node-state.ts'
import { Risk } from '../../schemas/plan.ts'
import { backend, serviceRow, settingsRow, tablesOf } from './rows.ts'

const KEY = 'service/203.0.113.1:80/tcp'
const two = [backend('10.0.1.1'), backend('10.0.1.2')]
const row = serviceRow('203.0.113.1', two)
const ipvs: IpvsServiceRow = {
  kind: 'service',
  match: { by: 'address', vip: '203.0.113.1', port: 80, protocol: 'tcp' },
  scheduler: 'mh',
  schedulerFlags: { port: true, fallback: true },
  persistence: null,
  onePacket: false,
  backends: two.map(({ address, weight }) => ({
    address,
    port: 80,
    weight,
    forwarding: { method: 'ipip' },
    upper: 0,
    lower: 0,
  })),
}
const onIpvs = (service: IpvsServiceRow): NodeTables => ({ ...tablesOf(), ipvs: { [KEY]: service } })
const many = Array.from({ length: 700 }, (_, n) => backend(`10.1.${n >> 8}.${n & 255}`))

const cases: [title: string, before: NodeTables, after: NodeTables, risks: Risk[]][] = [
  ['another choice of slots', tablesOf(row), tablesOf({ ...row, hashBy: 'source' }), ['hash-changed']],
  [
    'another encapsulation',
    tablesOf(row),
    tablesOf({ ...row, encapsulation: 'gue', gue: { variant: 1, port: 6080 } }),
    ['forwarding-changed'],
  ],
  ['another scheduler', onIpvs(ipvs), onIpvs({ ...ipvs, scheduler: 'rr' }), ['hash-changed']],
  ['another dataplane', tablesOf(row), onIpvs(ipvs), ['hash-changed', 'forwarding-changed']],
  [
    'more backends than the ring has slots for',
    tablesOf(serviceRow('203.0.113.1', many)),
    tablesOf(serviceRow('203.0.113.1', [...many, backend('10.2.0.1')])),
    ['ring-too-small'],
  ],
  ['an idle time', tablesOf(row), tablesOf({ ...row, idleTimeout: 5 }), []],
]

for (const [title, before, after, risks] of cases) {
  test(`risk: ${title}`, () => {
    const { services } = planFleet({
      base: null,
      head: null,
      before: new Map([['lb-1', before]]),
      after: new Map([['lb-1', after]]),
      names: {},
    })
    assert.deepEqual(
      services.map(({ change, risk }) => [change, risk]),
      [['update', risks]],
    )
  })
}

test('a service that stays on one node and leaves another is still served', () => {
  const { services } = planFleet({
    base: null,
    head: null,
    before: new Map(['lb-1', 'lb-2'].map(node => [node, tablesOf(row)])),
    after: new Map([
      ['lb-1', tablesOf(row)],
      ['lb-2', tablesOf()],
    ]),
    names: {},
  })
  assert.deepEqual(services[0]?.risk, ['nodes-removed'])
})

test('another key of the fleet moves the flows of all services of a node', () => {
  const { nodes } = planFleet({
    base: null,
    head: null,
    before: new Map([['lb-1', tablesOf(settingsRow())]]),
    after: new Map([['lb-1', tablesOf(settingsRow({ fleetKey: 'fedcba9876543210' }))]]),
    names: {},
  })
  assert.deepEqual(nodes[0]?.risk, ['hash-changed'])
})

test('every rule is explained and documented', () => {
  const text = readFileSync(new URL('../../docs/plan.md', import.meta.url), 'utf8')
  for (const id of Risk.options) {
    assert.ok(explainRisk(id).length > 20)
    assert.match(text, new RegExp(`\\| \`${id}\` \\| ${severityOf(id)} \\|`), id)
  }
})
