import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignWaves, type Candidate, startRollout } from '../../reconciler/rollout/start-rollout.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import { desire, type FleetOf } from './fleets.ts'
import { nameNodes } from './simulate.ts'

const NODES = { 'lb-1': { canary: 'true' }, 'lb-2': {}, 'lb-3': {}, 'lb-4': {} }
const WAVES = { canary: { matchLabels: { canary: 'true' } }, steps: [50] }

const candidate = (letter: string, shape: FleetOf): Candidate => ({
  revision: letter.repeat(40),
  fleet: desire({ nodes: NODES, ...shape }),
})
const web = (backends: number[], on?: string[]) => ({ vip: 10, backends, ...(on && { on }) })
const start = (base: Candidate | null, target: Candidate, previous: Rollout | 'none' | null = 'none') =>
  startRollout({ base, target, previous, held: new Set(), freezeOverride: null, now: 1_000 })
const sides = ({ nodes }: Rollout) => Object.fromEntries(nodes.map(({ name, side }) => [name, side]))

test('waves hold every node once, in order, canaries first, and as many as the steps say', () => {
  const arbitrary = fc.record({
    count: fc.integer({ min: 1, max: 40 }),
    canaries: fc.uniqueArray(fc.nat(39)),
    steps: fc
      .uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 4 })
      .map(all => all.sort((a, b) => a - b)),
  })
  fc.assert(
    fc.property(arbitrary, ({ count, canaries, steps }) => {
      const names = nameNodes(count)
      const chosen = new Set(canaries.flatMap(index => names[index] ?? []))
      const { names: waves, of } = assignWaves(names, chosen, steps)
      assert.deepEqual([...of.keys()].toSorted(), names)
      assert.deepEqual(
        waves.map((_, wave) => wave),
        [...new Set(of.values())].toSorted((a, b) => a - b),
        'none is empty',
      )
      if (chosen.size > 0)
        assert.deepEqual(
          names.filter(name => of.get(name) === 0),
          [...chosen].toSorted(),
        )
      for (const [index, name] of waves.entries()) {
        const until = names.filter(each => of.get(each)! <= index).length
        if (name.endsWith('%')) assert.equal(until, Math.ceil((count * Number.parseInt(name, 10)) / 100))
      }
    }),
  )
})

test('only nodes that differ are in it, and those that serve a VIP in common are known', () => {
  const spec = { rollout: WAVES }
  const services = (backends: number[]) => ({
    web: web(backends, ['lb-1', 'lb-2', 'lb-3']),
    dns: { vip: 11, backends: [1], on: ['lb-3', 'lb-4'] },
  })
  const found = start(
    candidate('a', { spec, services: services([1]) }),
    candidate('b', { spec, services: services([2]) }),
  )
  assert.deepEqual(sides(found), { 'lb-1': 'base', 'lb-2': 'base', 'lb-3': 'base' })
  assert.deepEqual(found.announcers, [['lb-1', 'lb-2', 'lb-3']])
  assert.deepEqual(found.waves, ['canary', '50 %', 'fleet'])
})

test('a revision that takes the waves away goes out in waves all the same', () => {
  const found = start(
    candidate('a', { spec: { rollout: WAVES }, services: { web: web([1]) } }),
    candidate('b', { services: { web: web([2]) } }),
  )
  assert.deepEqual([found.waves.length, found.maxInChange, found.bakeMs], [3, 1, 300_000])
})

test('what an earlier rollout has changed is known to be neither side, and what changes still counts', () => {
  const spec = { rollout: WAVES }
  const [a, b, c] = (['a', 'b', 'c'] as const).map((letter, index) =>
    candidate(letter, { spec, services: { web: web([index + 1]) } }),
  )
  const first = start(a!, b!)
  const nodes = first.nodes.map((node, index) =>
    index === 0 ? { ...node, side: 'target' as const, changingSince: 5 } : node,
  )
  const second = start(a!, c!, { ...first, nodes })
  assert.deepEqual(sides(second), { 'lb-1': 'kept', 'lb-2': 'base', 'lb-3': 'base', 'lb-4': 'base' })
  assert.equal(second.nodes[0]!.changingSince, 5)
  assert.equal(second.sequence, first.sequence + 1)

  const back = start(a!, { ...a!, revision: 'd'.repeat(40) }, { ...first, nodes })
  assert.deepEqual(sides(back), { 'lb-1': 'kept' }, 'a revert is about what had changed alone')
})

test('after a rollout that is done its target is the base', () => {
  const [a, b, c] = (['a', 'b', 'c'] as const).map((letter, index) =>
    candidate(letter, { services: { web: web([index + 1]) } }),
  )
  const done: Rollout = { ...start(a!, b!), state: 'done' }
  const nodes = done.nodes.map((node, index) => ({
    ...node,
    side: index === 3 ? ('kept' as const) : ('target' as const),
  }))
  const next = start(b!, c!, { ...done, nodes })
  assert.deepEqual(sides(next), { 'lb-1': 'base', 'lb-2': 'base', 'lb-3': 'base', 'lb-4': 'kept' })
})

test('a missing record means that nobody knows what any node wants', () => {
  const [a, b] = [
    candidate('a', { services: { web: web([1]) } }),
    candidate('b', { services: { web: web([1]) } }),
  ]
  assert.deepEqual(new Set(Object.values(sides(start(a, b, null)))), new Set(['kept']))
  assert.equal(start(a, b, null).nodes.length, 4)
})

test('nothing to change is done at once', () => {
  const [a, b] = [
    candidate('a', { services: { web: web([1]) } }),
    candidate('b', { services: { web: web([1]) } }),
  ]
  assert.equal(start(a, b).state, 'done')
})
