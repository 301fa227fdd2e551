import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findDrift, trackDrift } from '../../reconciler/drift/find-drift.ts'
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
