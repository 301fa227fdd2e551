import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Path } from '../../../reconciler/drivers/bgp/gobgp/messages.ts'
import {
  composePath,
  limitRoutes,
  readConfiguredRoute,
  readSentRoute,
} from '../../../reconciler/drivers/bgp/gobgp/routes.ts'
import { peersOf } from '../../../reconciler/drivers/bgp/secrets.ts'
import type { BgpRouteRow } from '../../../schemas/node-state.ts'
import { bgpTables } from './bgp-tables.ts'
import { peerRow, routeRow } from './router-lab.ts'

const TABLES = bgpTables('gobgp')
const routesIn = (rows: Readonly<Record<string, { kind: string }>>): BgpRouteRow[] =>
  Object.values(rows).filter((row): row is BgpRouteRow => row.kind === 'route')
const pathOf = (composed: object): Path => ({ neighborIp: '<nil>', ...composed }) as unknown as Path

test('a route is read as it was written, with those that it is held back from', () => {
  fc.assert(
    fc.property(TABLES, fc.nat(2), (table, limit) => {
      const peers = peersOf(table).map(peer => ({ ...peer, exportLimit: limit }))
      for (const route of limitRoutes(routesIn(table), peers)) {
        const read = readConfiguredRoute(pathOf(composePath(route)), peers)
        assert.deepEqual(read, { row: route.row, sentTo: route.sentTo })
      }
    }),
  )
})

test('a peer gets its limit of each family, the first by name, whatever the order', () => {
  const peers = [peerRow({ exportLimit: 2 })]
  const rows = ['203.0.113.3/32', '203.0.113.1/32', '2001:db8::1/128', '203.0.113.2/32'].map(prefix =>
    routeRow({ prefix }),
  )
  const sent = limitRoutes(rows, peers).filter(({ sentTo }) => sentTo.length > 0)
  assert.deepEqual(
    sent.map(({ row }) => row.prefix),
    ['2001:db8::1/128', '203.0.113.1/32', '203.0.113.2/32'],
  )
  assert.deepEqual(limitRoutes(rows.toReversed(), peers), limitRoutes(rows, peers))
})

test('a path without marks is nobody’s', () => {
  const path = pathOf(composePath({ row: routeRow(), sentTo: ['tor-1'] }))
  const unmarked = { ...path, pattrs: path.pattrs.filter(each => !each['@type'].includes('Large')) }
  assert.equal(readConfiguredRoute(unmarked, [peerRow()]), null)
})

const TYPE = 'type.googleapis.com/apipb.'
const AS_PATH = (...numbers: number[]) => ({ '@type': `${TYPE}AsPathAttribute`, segments: [{ numbers }] })

test('own AS and defaults are no part of what was sent, and what differs is seen', () => {
  const row = routeRow({ localPreference: 200, prepend: 1 })
  const plain = pathOf(composePath({ row: { ...row, peers: [] }, sentTo: [] }))
  const sent = (...more: object[]): Path => ({ ...plain, pattrs: [...plain.pattrs, ...more] as never })
  assert.deepEqual(readSentRoute(sent(AS_PATH(65001, 65001)), row, true), row)
  assert.deepEqual(readSentRoute(sent(AS_PATH()), row, false), row)
  assert.equal(readSentRoute(sent(AS_PATH(65001)), row, true).prepend, 0)

  const [local, ...others] = [plain.pattrs.find(each => each['@type'].endsWith('LocalPrefAttribute'))!]
  assert.deepEqual(others, [])
  const byDefault = plain.pattrs.map(each => (each === local ? { ...local, localPref: 100 } : each))
  const unsaid = { ...row, localPreference: null }
  assert.deepEqual(
    readSentRoute({ ...sent(AS_PATH()), pattrs: [...byDefault, AS_PATH()] }, unsaid, false),
    unsaid,
  )
})
