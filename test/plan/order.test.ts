import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { NodeEdits } from '../../reconciler/plan/diff.ts'
import { diffNode } from '../../reconciler/plan/diff.ts'
import { orderEdits } from '../../reconciler/plan/order.ts'
import { anyTables, backend, interfaceRow, serviceRow, settingsRow, tablesOf } from './rows.ts'

/** desired + observed → what happens, in order. */
const scenarios = [
  {
    story: 'an empty node is made before it is attached to anything else',
    desired: tablesOf(
      settingsRow(),
      interfaceRow('native'),
      serviceRow('203.0.113.1', [backend('10.0.1.1')]),
    ),
    observed: tablesOf(),
    phases: [
      ['prepare xdp', 'create interface/eth0', 'create service/203.0.113.1:80/tcp', 'create settings'],
    ],
  },
  {
    story: 'a service that takes over from another stands before the other goes',
    desired: tablesOf(settingsRow(), serviceRow('203.0.113.2', [backend('10.0.1.1')])),
    observed: tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1')])),
    phases: [
      ['prepare xdp', 'create service/203.0.113.2:80/tcp'],
      ['remove xdp', 'delete service/203.0.113.1:80/tcp'],
    ],
  },
  {
    story: 'a changed weight is one update',
    desired: tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1', 50)])),
    observed: tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1', 100)])),
    phases: [['prepare xdp', 'update service/203.0.113.1:80/tcp']],
  },
  {
    story: 'a node that holds what it should has nothing to do',
    desired: tablesOf(settingsRow(), interfaceRow('auto')),
    observed: tablesOf(settingsRow(), interfaceRow('generic')),
    phases: [],
  },
  {
    story: 'a node that leaves the fleet is only emptied',
    desired: tablesOf(),
    observed: tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1')])),
    phases: [['remove xdp', 'delete service/203.0.113.1:80/tcp', 'delete settings']],
  },
]

for (const { story, desired, observed, phases } of scenarios) {
  test(`${story} (rule 2)`, () => {
    const found = orderEdits(diffNode(desired, observed)).map(({ name, driver, edits }) => [
      `${name} ${driver}`,
      ...edits.map(({ op, key }) => `${op} ${key}`),
    ])
    assert.deepEqual(found, phases)
  })
}

test('every edit is in exactly one phase, and nothing is removed before all is made (rule 2)', () => {
  fc.assert(
    fc.property(anyTables, anyTables, (desired, observed) => {
      const edits = diffNode(desired, observed)
      const phases = orderEdits(edits)
      const ordered = phases.flatMap(phase => phase.edits.map(({ key, op }) => `${op} ${key}`))
      assert.deepEqual([...ordered].sort(), edits.xdp.map(({ key, op }) => `${op} ${key}`).sort())
      const firstRemoval = ordered.findIndex(edit => edit.startsWith('delete'))
      const lastMaking = ordered.findLastIndex(edit => !edit.startsWith('delete'))
      assert.ok(firstRemoval === -1 || firstRemoval > lastMaking)
    }),
  )
})

test('what forwards comes before what announces it, and a withdrawal before what it led to goes (rule 2)', () => {
  // No manifest can ask for these tables yet; the order must already hold when one can.
  const edits = {
    xdp: [
      { op: 'create', key: 'service/a', after: settingsRow() },
      { op: 'delete', key: 'service/b', before: settingsRow() },
    ],
    ipvs: [
      { op: 'create', key: 'service/b' },
      { op: 'delete', key: 'service/c' },
    ],
    bgp: [
      { op: 'create', key: 'route/a' },
      { op: 'delete', key: 'route/c' },
    ],
  } as unknown as NodeEdits
  assert.deepEqual(
    orderEdits(edits).map(({ name, driver }) => `${name} ${driver}`),
    ['prepare xdp', 'prepare ipvs', 'announce bgp', 'withdraw bgp', 'remove xdp', 'remove ipvs'],
  )
})
