import assert from 'node:assert/strict'
import { test } from 'node:test'
import { episodesOf, findDrift, trackDrift } from '../../reconciler/drift/find-drift.ts'
import { backend, serviceRow, settingsRow, tablesOf } from '../plan/rows.ts'

const web = serviceRow('203.0.113.1', [backend('10.0.1.1')])
const changed = serviceRow('203.0.113.1', [backend('10.0.1.2')])
const other = serviceRow('203.0.113.2', [backend('10.0.1.1')])

test('what is missing, unexpected and changed is named with both sides', () => {
  const found = findDrift(tablesOf(settingsRow(), web), tablesOf(changed, other), 7)
  assert.deepEqual(
    found.map(({ key, kind, desired, observed }) => ({ key, kind, desired, observed })),
    [
      { key: 'service/203.0.113.1:80/tcp', kind: 'changed', desired: web, observed: changed },
      { key: 'service/203.0.113.2:80/tcp', kind: 'unexpected', desired: null, observed: other },
      { key: 'settings', kind: 'missing', desired: settingsRow(), observed: null },
    ],
  )
})

test('drift that stays keeps its beginning, and what is gone is healed', () => {
  const first = trackDrift([], findDrift(tablesOf(web), tablesOf(changed, other), 1000), 1000)
  const second = trackDrift(first, findDrift(tablesOf(web), tablesOf(changed), 2000), 2000)
  assert.deepEqual(
    second.map(({ key, since, healedAt }) => [key, since, healedAt]),
    [
      ['service/203.0.113.1:80/tcp', 1000, null],
      ['service/203.0.113.2:80/tcp', 1000, 2000],
    ],
  )
})

test('what healed long ago is forgotten', () => {
  const open = trackDrift([], findDrift(tablesOf(web), tablesOf(), 0), 0)
  const healed = trackDrift(open, [], 10)
  assert.equal(trackDrift(healed, [], 3_600_009).length, 1)
  assert.equal(trackDrift(healed, [], 3_600_010).length, 0)
})

test('each time that a row was wrong is told by one item, for an hour', () => {
  let known = trackDrift([], [], 0)
  for (const at of [0, 1000, 2000]) {
    known = trackDrift(known, findDrift(tablesOf(web), tablesOf(), at), at)
    known = trackDrift(known, [], at + 10, 'repair')
  }
  assert.equal(known.length, 1)
  const times = (items = known) =>
    items.flatMap(episodesOf).map(({ kind, since, healedAt }) => [kind, since, healedAt])
  assert.deepEqual(times(), [
    ['missing', 2000, 2010],
    ['missing', 1000, 1010],
    ['missing', 0, 10],
  ])
  const later = trackDrift(known, [], 3_601_005)
  assert.deepEqual(times(later), times().slice(0, 2))
  assert.deepEqual(times(trackDrift(later, [], 3_601_010)), times().slice(0, 1))
})

test('a daemon that loses a thousand announcements is told of all of them, of the last hundred with their rows', () => {
  const rows = Array.from({ length: 1000 }, (_, at) => serviceRow(`203.0.${at >> 8}.${at & 255}`, []))
  let known = trackDrift([], findDrift(tablesOf(...rows), tablesOf(), 0), 0)
  known = trackDrift(known, [], 10, 'repair')
  assert.equal(known.length, 1000)
  assert.equal(known.filter(({ desired }) => desired !== null).length, 100)
  known = trackDrift(known, findDrift(tablesOf(rows[999]!), tablesOf(), 20), 20)
  known = trackDrift(known, [], 30, 'repair')
  assert.equal(known.length, 1000)
  assert.deepEqual(
    [known[0]?.desired, known[0]?.earlier],
    [rows[999], [{ since: 0, healedAt: 10, healedBy: 'repair' }]],
  )
})
