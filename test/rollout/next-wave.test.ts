import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nextWave } from '../../reconciler/rollout/next-wave.ts'
import { makeRollout, nameNodes, World } from './simulate.ts'

test('a missing record means stay: there is no next wave', () => {
  const world = new World(makeRollout(3))
  assert.equal(nextWave(null, world.reports(), world.now), null)
})

test('canary, half, fleet: each wave opens when the one before it has baked', () => {
  const world = new World(makeRollout(4))
  assert.deepEqual(world.record.waves, ['canary', '50 %', 'fleet'])
  world.look()
  assert.deepEqual(world.on('target'), ['lb-00'])
  world.pass(5_000)
  world.look()
  assert.equal(world.record.bakingSince, null, 'the canary has not answered')
  world.answerAll()
  world.look()
  assert.equal(world.record.bakingSince, world.now)
  world.pass(59_999)
  world.look()
  assert.equal(world.record.wave, 0)
  world.pass(1)
  world.look()
  assert.deepEqual([world.record.wave, world.on('target')], [1, ['lb-00', 'lb-01']])
  world.settle()
  assert.equal(world.record.state, 'done')
  assert.deepEqual(world.on('target'), nameNodes(4))
})

test('a look that finds nothing to do gives the same record', () => {
  const world = new World(makeRollout(4))
  const told = world.look()
  assert.equal(world.look(), told)
  assert.equal(told.sequence, 2)
})

test('a canary that cannot apply it closes the gate, and goes back; nobody else changes', () => {
  const world = new World(makeRollout(4))
  world.look()
  world.answer('lb-00', 'failed')
  world.look()
  assert.equal(world.record.state, 'failed')
  assert.equal(world.record.failure?.gate, 'apply')
  assert.deepEqual(world.on('base'), nameNodes(4))
  world.settle()
  assert.equal(world.record.state, 'failed')
  assert.deepEqual(world.on('base'), nameNodes(4))
})

test('a canary that does not answer in time closes the gate', () => {
  const world = new World(makeRollout(4))
  world.look()
  world.pass(120_001)
  world.look()
  assert.match(world.record.failure!.message, /lb-00 did not apply it \(no answer in time\)/)
})

test('a probe that fails three times in a row closes the gate, and none before anything changed', () => {
  const world = new World(makeRollout(4))
  world.probes = [{ name: '203.0.113.10:80', failures: 3, error: 'ECONNREFUSED' }]
  world.look()
  assert.equal(world.record.state, 'running')
  world.probes = [{ name: '203.0.113.10:80', failures: 2, error: 'ECONNREFUSED' }]
  world.look()
  assert.equal(world.record.state, 'running')
  world.probes = [{ name: '203.0.113.10:80', failures: 3, error: 'ECONNREFUSED' }]
  world.look()
  assert.match(world.record.failure!.message, /203\.0\.113\.10:80 cannot be reached \(ECONNREFUSED\)/)
})

const traffic: [string, reasons: Record<string, number>, gate: string | null][] = [
  ['drops', { forwarded_flow: 900, drop_too_big: 100 }, 'drops'],
  ['resets', { forwarded_flow: 1000, flow_rehashed: 50 }, 'resets'],
  [
    'new flows without a backend',
    { forwarded_flow: 100_000, forwarded_ring: 90, drop_no_backend: 10 },
    'newFlowFailures',
  ],
  [
    'new connections that a third of the backends does not answer',
    { forwarded_flow: 1_000, forwarded_ring: 300, flow_confirmed: 200 },
    'newFlowFailures',
  ],
  [
    'new connections of which some are on their way',
    { forwarded_flow: 1_000, forwarded_ring: 300, flow_confirmed: 295 },
    null,
  ],
  ['UDP, which nobody confirms', { forwarded_ring: 300, flow_midway: 300 }, null],
  ['one client that gives up', { forwarded_flow: 200, forwarded_ring: 25, flow_confirmed: 24 }, null],
  ['hardly any traffic', { drop_no_backend: 10 }, null],
  ['what unchanged nodes drop as well', { forwarded_flow: 980, drop_unmatched: 20 }, null],
]
for (const [title, reasons, gate] of traffic) {
  test(`counters of the changed nodes against those of the others: ${title}`, () => {
    const world = new World(makeRollout(4))
    for (const name of nameNodes(4)) world.count(name, { forwarded_flow: 1_000_000 })
    world.look()
    world.answerAll()
    world.pass(20_000)
    for (const name of nameNodes(4).slice(1)) world.count(name, { forwarded_flow: 980, drop_unmatched: 20 })
    world.count('lb-00', reasons)
    world.look()
    assert.equal(world.record.failure?.gate ?? null, gate)
  })
}

test('of several changed nodes the closed gate names the one with the largest share, not the one with most packets', () => {
  const world = new World(makeRollout(8, { waves: ['half', 'fleet'], maxInChange: null }))
  world.record = {
    ...world.record,
    nodes: world.record.nodes.map((node, index) => ({ ...node, wave: index < 4 ? 0 : 1 })),
  }
  for (const name of nameNodes(8)) world.count(name, { forwarded_flow: 1_000 })
  world.look()
  world.answerAll()
  for (const name of nameNodes(8)) world.count(name, { forwarded_flow: 1_000 })
  world.count('lb-01', { forwarded_flow: 3_000, drop_no_backend: 600 })
  world.count('lb-02', { drop_no_backend: 500 })
  world.look()
  assert.match(
    world.record.failure!.message,
    /on changed nodes, most on lb-02 \(33\.3 % of 1500\), 0\.0 % on/,
  )
})

test('in the last wave nodes are compared with their own past', () => {
  const world = new World(makeRollout(1))
  world.count('lb-00', { forwarded_flow: 900, drop_unmatched: 100 })
  world.look()
  world.answerAll()
  world.count('lb-00', { forwarded_flow: 900, drop_unmatched: 100 })
  world.look()
  assert.equal(world.record.state, 'running')
  world.count('lb-00', { drop_unmatched: 200 })
  world.look()
  assert.equal(world.record.failure?.gate, 'drops')
})

test('a node that is silent is left for later, and follows when it reports again', () => {
  const world = new World(makeRollout(4))
  world.silence('lb-02')
  world.pass(31_000)
  world.settle()
  assert.equal(world.record.state, 'done')
  assert.deepEqual(world.on('kept'), ['lb-02'])
  world.wakeUp('lb-02')
  world.pass(1)
  world.look()
  assert.deepEqual(world.on('target'), nameNodes(4))
})

test('a canary that is silent proves nothing: nobody changes', () => {
  const world = new World(makeRollout(4))
  world.silence('lb-00')
  world.pass(31_000)
  world.settle()
  assert.deepEqual([world.record.state, world.on('target')], ['running', []])
})

test('nodes that an earlier rollout left behind go back before the canary changes', () => {
  const rollout = makeRollout(4)
  const stray = { ...rollout.nodes[2]!, side: 'kept' as const }
  const world = new World({ ...rollout, nodes: rollout.nodes.with(2, stray) })
  world.look()
  assert.deepEqual([world.on('kept'), world.on('target')], [[], []])
  world.answerAll()
  world.look()
  assert.deepEqual(world.on('target'), ['lb-00'])
})

test('inside a window that denies it nobody changes, but back; an override lets them', () => {
  const freeze = [
    { mode: 'deny' as const, schedule: '0 0 1 1 *', duration: '2d', timeZone: 'UTC', nodes: null },
  ]
  const frozen = new World(makeRollout(2, { freeze }))
  frozen.look()
  assert.deepEqual(frozen.on('target'), [])

  const overridden = new World(makeRollout(2, { freeze, freezeOverride: 'an outage' }))
  overridden.look()
  assert.deepEqual(overridden.on('target'), ['lb-00'])
  overridden.record = { ...overridden.record, freezeOverride: null }
  overridden.answer('lb-00', 'failed')
  overridden.look()
  assert.deepEqual(overridden.on('target'), [], 'going back does not wait')
})

const actions = fc.array(
  fc.record({
    kind: fc.constantFrom(
      'answer' as const,
      'answer' as const,
      'answer' as const,
      'look' as const,
      'look' as const,
      'pass' as const,
      'fail' as const,
      'silence' as const,
      'wake' as const,
    ),
    node: fc.nat(11),
    ms: fc.integer({ min: 0, max: 70_000 }),
  }),
  { maxLength: 120 },
)
const shape = fc.record({
  count: fc.integer({ min: 1, max: 12 }),
  canaries: fc.integer({ min: 0, max: 3 }),
  steps: fc
    .uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 3 })
    .map(all => all.sort((a, b) => a - b)),
  maxInChange: fc.integer({ min: 1, max: 3 }),
  groups: fc.array(fc.uniqueArray(fc.nat(11), { minLength: 2, maxLength: 12 }), { maxLength: 3 }),
  applyFailures: fc.integer({ min: 0, max: 2 }),
})

test('whatever nodes do: never more than stated in change, waves only open in order, and it never comes back from failed', () => {
  fc.assert(
    fc.property(shape, actions, ({ count, canaries, steps, maxInChange, groups, applyFailures }, all) => {
      const names = nameNodes(count)
      const announcers = groups
        .map(group => group.flatMap(index => names[index] ?? []))
        .filter(group => group.length > 1)
      const rollout = makeRollout(count, {
        ...{ canaries: Math.min(canaries, count), steps, maxInChange, announcers },
        bakeMs: 30_000,
        deadlineMs: 1e9,
      })
      const world = new World({ ...rollout, gates: { ...rollout.gates!, applyFailures } })
      for (const { kind, node, ms } of all) {
        const name = names[node % count]!
        const before = world.record
        if (kind === 'answer') world.answer(name)
        else if (kind === 'fail') world.answer(name, 'failed')
        else if (kind === 'silence') world.silence(name)
        else if (kind === 'wake') world.wakeUp(name)
        else if (kind === 'pass') world.pass(ms)
        const after = world.look()
        const inChange = new Set(world.inChange())
        for (const group of announcers)
          assert.ok(group.filter(each => inChange.has(each)).length <= maxInChange)
        assert.ok(after.wave >= before.wave && after.wave <= before.wave + 1)
        assert.ok(before.state === 'running' || after.state === before.state, 'what ended stays ended')
        assert.equal(after.sequence, after === before ? before.sequence : before.sequence + 1)
        for (const [index, { side, wave }] of after.nodes.entries()) {
          const was = before.nodes[index]!.side
          if (after.state !== 'failed') assert.ok(was !== 'target' || side === 'target', 'no way back')
          else assert.ok(side === was || side === 'base', 'no way but back')
          if (after.state === 'running' && side === 'target') assert.ok(wave <= after.wave)
        }
      }
      for (const name of names) world.wakeUp(name)
      world.pass(1)
      world.settle()
      assert.notEqual(world.record.state, 'running')
      assert.deepEqual(world.on(world.record.state === 'done' ? 'target' : 'base'), names)
    }),
    { numRuns: 150 },
  )
})

test('the order in which reports are given makes no difference', () => {
  fc.assert(
    fc.property(shape, actions, fc.infiniteStream(fc.nat()), ({ count, steps }, all, random) => {
      const world = new World(makeRollout(count, { steps, bakeMs: 30_000 }))
      for (const { kind, node, ms } of all.slice(0, 30)) {
        const name = nameNodes(count)[node % count]!
        if (kind === 'fail' || kind === 'answer') world.answer(name, kind === 'fail' ? 'failed' : 'applied')
        world.pass(ms)
        const shuffled = world.reports(names =>
          names.toSorted(() => (random.next().value! % 2 === 0 ? 1 : -1)),
        )
        const other = nextWave(world.record, shuffled, world.now)
        assert.deepEqual(world.look(), other)
      }
    }),
    { numRuns: 50 },
  )
})
