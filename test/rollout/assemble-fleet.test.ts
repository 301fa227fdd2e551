import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AssembleInput, assembleFleet } from '../../reconciler/rollout/assemble-fleet.ts'
import type { Candidate } from '../../reconciler/rollout/start-rollout.ts'
import type { Hold } from '../../schemas/hold.ts'
import { emptyTables } from '../../schemas/node-state.ts'
import type { Side } from '../../schemas/rollout.ts'
import { desire, type FleetOf } from './fleets.ts'
import { makeRollout } from './simulate.ts'

const NODES = { 'lb-00': {}, 'lb-01': {} }
const candidate = (letter: string, shape: FleetOf): Candidate => ({
  revision: letter.repeat(40),
  fleet: desire({ nodes: NODES, ...shape }),
})
const services = (host: number) => ({
  web: { vip: 10, backends: [host] },
  dns: { vip: 11, backends: [host] },
})
const [BASE, TARGET, OLD] = [
  candidate('a', { services: services(1) }),
  candidate('b', { services: services(2) }),
  candidate('c', { services: services(3) }),
]
const hold = (scope: Hold['scope'], revision: string | null = OLD.revision): Hold => ({
  ...{ scope, revision, reason: '', by: '', at: 0 },
})

/** Last bytes of the backends by node, `web` before `dns`; null: the node keeps what it has. */
function assemble(given: Partial<AssembleInput> & { sides?: [Side, Side] }) {
  const { sides, ...rest } = given
  const rollout = makeRollout(2)
  const nodes = rollout.nodes.map((node, index) => ({ ...node, side: sides?.[index] ?? node.side }))
  const found = assembleFleet({
    ...{ base: BASE, target: TARGET, rollout: { ...rollout, nodes }, holds: [] },
    held: new Map([[OLD.revision, OLD.fleet]]),
    ...rest,
  })
  const of = (name: string) => {
    if (found.exceptions.get(name) === null) return null
    const { xdp } = found.nodes.get(name)?.state.tables ?? emptyTables()
    return Object.values(xdp).flatMap(row =>
      row.kind === 'service' ? row.backends.map(each => each.address.at(-1)) : [],
    )
  }
  const revisions = [...found.exceptions.values()].map(exception => exception?.revision[0] ?? null)
  return { 'lb-00': of('lb-00'), 'lb-01': of('lb-01'), revisions }
}

test('each node has the state of its side', () => {
  assert.deepEqual(assemble({ sides: ['target', 'base'] }), {
    'lb-00': ['2', '2'],
    'lb-01': ['1', '1'],
    revisions: ['b'],
  })
  assert.deepEqual(assemble({ sides: ['kept', 'base'] }), {
    'lb-00': null,
    'lb-01': ['1', '1'],
    revisions: [null],
  })
})

test('without a last good revision a node whose turn has not come keeps what it has', () => {
  assert.deepEqual(assemble({ base: null, sides: ['target', 'base'] }), {
    'lb-00': ['2', '2'],
    'lb-01': null,
    revisions: ['b', null],
  })
})

test('a node that a failed revision brought is emptied, and one that it did not reach is let be', () => {
  const base = candidate('a', { nodes: { 'lb-01': {} }, services: services(1) })
  const rollout = makeRollout(2)
  const of = (state: 'running' | 'failed') =>
    assembleFleet({ base, target: TARGET, rollout: { ...rollout, state }, holds: [], held: new Map() })
  assert.equal(of('running').exceptions.get('lb-00'), null)
  assert.deepEqual([of('failed').nodes.has('lb-00'), of('failed').exceptions.has('lb-00')], [false, false])
})

test('a node that is held has all of its revision, whatever its side', () => {
  assert.deepEqual(
    assemble({ sides: ['target', 'target'], holds: [hold({ kind: 'node', name: 'lb-01' })] }),
    {
      'lb-00': ['2', '2'],
      'lb-01': ['3', '3'],
      revisions: ['b', 'c'],
    },
  )
})

test('of a service that is held every node has the rows of its revision, and all else of its own', () => {
  const { 'lb-00': first, 'lb-01': second } = assemble({
    ...{ sides: ['target', 'base'], holds: [hold({ kind: 'service', name: 'dns' })] },
  })
  assert.deepEqual(
    [first, second],
    [
      ['2', '3'],
      ['1', '3'],
    ],
  )
})

test('what is held at a revision that is not known any more keeps what it has', () => {
  const gone = 'f'.repeat(40)
  const node = assemble({ holds: [hold({ kind: 'node', name: 'lb-01' }, gone)] })
  assert.deepEqual([node['lb-00'], node['lb-01']], [['1', '1'], null])
  const service = assemble({ holds: [hold({ kind: 'service', name: 'dns' }, gone)] })
  assert.deepEqual([service['lb-00'], service['lb-01']], [null, null])
})
