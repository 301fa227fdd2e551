import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sideOf } from '../../reconciler/controller/plan-side.ts'
import { makeFleetPlan } from '../../reconciler/plan/plan-fleet.ts'
import { describeRollout } from '../../reconciler/render/rollout-words.ts'
import { previewRollout } from '../../reconciler/rollout/preview-rollout.ts'
import { desire, type FleetOf } from './fleets.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const NODES = { 'lb-1': { canary: 'true' }, 'lb-2': {}, 'lb-3': {}, 'lb-4': {} }

function preview(before: FleetOf, after: FleetOf, freezeOverride: string | null = null) {
  const base = { revision: 'a'.repeat(40), fleet: desire({ nodes: NODES, ...before }) }
  const target = { revision: 'b'.repeat(40), fleet: desire({ nodes: NODES, ...after }) }
  const { plan } = makeFleetPlan({ before: sideOf(base), after: sideOf(target) })
  const rollout = previewRollout({ base, target, plan, refusals: [], freezeOverride, now: NOW })
  return { plan, rollout, said: describeRollout({ ...plan, rollout }).map(({ text }) => text) }
}

const rollout = { canary: { matchLabels: { canary: 'true' } }, steps: [50], bake: '10m' }
const web = (backends: number[]) => ({ web: { vip: 10, backends } })

test('what goes to all nodes at once, and now, needs no words', () => {
  assert.deepEqual(preview({ services: web([1, 2]) }, { services: web([1, 2, 3]) }).said, [])
  const same = { spec: { rollout }, services: web([1, 2]) }
  assert.deepEqual(preview(same, same).said, [], 'nor what changes no node')
})

test('waves are named with their nodes, and what a split puts at risk', () => {
  const spec = { rollout }
  const {
    plan,
    rollout: found,
    said,
  } = preview({ spec, services: web([1, 2]) }, { spec, services: web([1, 2, 3]) })
  assert.deepEqual(
    found.waves.map(({ name, nodes }) => [name, nodes]),
    [
      ['canary', ['lb-1']],
      ['50 %', ['lb-2']],
      ['fleet', ['lb-3', 'lb-4']],
    ],
  )
  const moved = plan.services[0]!.impact.moved / plan.services[0]!.impact.slots
  assert.deepEqual(
    found.splits.map(({ wave, changed, at_risk }) => [wave, changed, at_risk]),
    [
      ['canary', 1, moved * 2 * (1 / 4) * (3 / 4)],
      ['50 %', 2, moved * 2 * (1 / 2) * (1 / 2)],
    ],
  )
  assert.match(
    said[0]!,
    /^Waves: canary \(lb-1\) → 50 % \(lb-2\) → fleet \(lb-3 and lb-4\), each baking 10 min; at most 1/,
  )
  assert.match(said[1]!, /While wave 50 % bakes \(10 min\), 2 of 4 nodes of 203\.0\.113\.10 \(web\)/)
})

test('a change that moves no flow puts none at risk', () => {
  const spec = { rollout }
  const more = { ...web([1, 2]), dns: { vip: 11, backends: [1] } }
  assert.deepEqual(preview({ spec, services: web([1, 2]) }, { spec, services: more }).rollout.splits, [])
})

test('a frozen node says when it is applied there, unless the commit says why it does not wait', () => {
  const spec = {
    freeze: [
      {
        ...{ mode: 'deny', schedule: '0 18 * * FRI', duration: '62h', timeZone: 'Europe/Berlin' },
        nodes: { names: ['lb-1', 'lb-2'] },
      },
    ],
  }
  const [before, after] = [
    { spec, services: web([1, 2]) },
    { spec, services: web([1, 3]) },
  ]
  assert.deepEqual(preview(before, after).said, [
    'lb-1 and lb-2: frozen until 2026-11-23 07:00 UTC; applied then.',
  ])
  assert.deepEqual(preview(before, after, 'an outage').said, ['Freeze windows do not count: an outage'])
})

test('a window that the revision takes away still holds for it', () => {
  const always = { mode: 'deny', schedule: '0 0 * * *', duration: '2d' }
  const { said } = preview({ spec: { freeze: [always] }, services: web([1]) }, { services: web([1, 2]) })
  assert.match(said[0]!, /frozen, and no window lets them change/)
})

test('services in IPVS are named whose change counters do not judge, and whether a probe does', () => {
  const gates = { probes: [{ address: '203.0.113.11', port: 80 }] }
  const spec = { rollout: { ...rollout, gates } }
  const services = (...backends: number[]): NonNullable<FleetOf['services']> => ({
    ...web(backends),
    dns: { vip: 11, backends, dataplane: 'ipvs', on: ['lb-2'] },
    mail: { vip: 12, backends, dataplane: 'ipvs', on: ['lb-3', 'lb-4'] },
    same: { vip: 13, backends: [1], dataplane: 'ipvs', on: ['lb-3'] },
  })
  const { rollout: found, said } = preview(
    { spec, services: services(1, 2) },
    { spec, services: services(1, 2, 3) },
  )
  const counted = ['drops', 'resets', 'newFlowFailures']
  assert.deepEqual(
    found.unjudged.toSorted((a, b) => (a.service < b.service ? -1 : 1)),
    [
      { service: 'dns', vip: '203.0.113.11', nodes: ['lb-2'], gates: counted, probed: true },
      { service: 'mail', vip: '203.0.113.12', nodes: ['lb-3', 'lb-4'], gates: counted, probed: false },
    ],
  )
  const sentences = said.filter(text => text.startsWith('Nothing is counted'))
  assert.equal(sentences.length, 2)
  assert.match(
    sentences[0]!,
    /\(dns\), so drops, resets and newFlowFailures cannot close for it; applyFailures and probes/,
  )
  assert.match(sentences[1]!, /\(mail\).*applyFailures alone judges it: no probe tries it/)
  const gone = preview({ spec, services: services(1) }, { spec, services: web([1]) }).rollout.unjudged
  assert.deepEqual(
    gone.map(({ service }) => service).sort(),
    ['dns', 'mail', 'same'],
    'what goes away as well',
  )
  assert.deepEqual(
    preview({ services: services(1) }, { services: services(2) }).rollout.unjudged,
    [],
    'nothing without gates',
  )
})
