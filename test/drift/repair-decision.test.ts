import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findDrift } from '../../reconciler/drift/find-drift.ts'
import {
  decideRepair,
  FIGHT,
  leaveHeld,
  NO_FIGHTS,
  noteRepaired,
  rowName,
} from '../../reconciler/drift/repair-decision.ts'
import { diffNode } from '../../reconciler/plan/diff.ts'
import type { DriftPolicy } from '../../schemas/drift-policy.ts'
import { DriverName } from '../../schemas/node-state.ts'
import type { DriftItem } from '../../schemas/report.ts'
import { anyTables } from '../plan/rows.ts'

const KEY = 'service/203.0.113.1:80/tcp'
const item = (change: Partial<DriftItem> = {}): DriftItem => ({
  ...{ driver: 'xdp', key: KEY, kind: 'changed', desired: 1, observed: 2, since: 1000, healedAt: null },
  ...change,
})
const REPAIR: DriftPolicy = { node: { all: 'repair', kinds: {} }, rows: {} }
const decide = (open: DriftItem[], policy: DriftPolicy, now = 2000, fights = NO_FIGHTS) =>
  decideRepair({ open, policy, fights, now })

test('the rule of a row comes before that of the node, and its kind before the rest', () => {
  const policy: DriftPolicy = {
    node: { all: 'repair', kinds: { unexpected: 'hold' } },
    rows: { [KEY]: { all: 'hold', kinds: { missing: 'repair' } } },
  }
  const open = [
    item(),
    item({ key: 'settings' }),
    item({ key: 'service/[2001:db8::1]:53/udp', kind: 'unexpected' }),
  ]
  assert.deepEqual(
    [...decide(open, policy).held],
    [
      [`xdp ${KEY}`, 'policy'],
      [`xdp ${open[2]!.key}`, 'policy'],
    ],
  )
  assert.equal(decide([item({ kind: 'missing' })], policy).held.size, 0)
})

test('repairAfter waits until drift has lasted', () => {
  const policy: DriftPolicy = { ...REPAIR, node: { all: { repairAfter: 5000 }, kinds: {} } }
  assert.deepEqual(
    [decide([item()], policy, 5999).held.size, decide([item()], policy, 5999).isWaiting],
    [1, true],
  )
  assert.deepEqual(
    [decide([item()], policy, 6000).held.size, decide([item()], policy, 6000).isWaiting],
    [0, false],
  )
})

test('a row that is repaired again and again is left alone, and stays so until it is right', () => {
  let fights = NO_FIGHTS
  for (let at = 0; at < FIGHT.repairs; at++) {
    assert.equal(decide([item()], REPAIR, at * 1000, fights).held.size, 0)
    fights = noteRepaired(fights, [item()], at * 1000)
  }
  const decision = decide([item(), item({ key: 'settings' })], REPAIR, 10_000, fights)
  assert.deepEqual([...decision.held], [[`xdp ${KEY}`, 'fight']])
  const later = 10_000 + 10 * FIGHT.within
  assert.equal(decide([item()], REPAIR, later, decision.fights).held.size, 1)
  const right = decide([], REPAIR, later, decision.fights)
  assert.equal(decide([item()], REPAIR, later, right.fights).held.size, 0)
})

test('repairs that are long ago are no fight', () => {
  let fights = NO_FIGHTS
  for (let at = 0; at < 3 * FIGHT.repairs; at++) {
    const now = at * FIGHT.within
    assert.equal(decide([item()], REPAIR, now, fights).held.size, 0)
    fights = noteRepaired(fights, [item()], now)
  }
})

test('what is held is all that is left to do, and nothing else', () => {
  fc.assert(
    fc.property(anyTables, anyTables, fc.func(fc.boolean()), (wanted, observed, isHeld) => {
      const drift = findDrift(wanted, observed, 0)
      const held = new Map(
        drift.filter(each => isHeld(each.key)).map(each => [rowName(each), 'policy' as const]),
      )
      const edits = diffNode(leaveHeld(wanted, observed, held), observed)
      const left = DriverName.options.flatMap(driver =>
        edits[driver].map(({ key }) => rowName({ driver, key })),
      )
      assert.deepEqual(
        left,
        drift.map(rowName).filter(name => !held.has(name)),
      )
    }),
  )
})
