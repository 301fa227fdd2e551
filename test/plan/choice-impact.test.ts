import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { planFleet } from '../../reconciler/plan/plan-fleet.ts'
import { buildMhTable } from '../../reconciler/ring/kernel-tables.ts'
import type { IpvsServiceRow, NodeTables } from '../../schemas/node-state.ts'
import type { Impact } from '../../schemas/plan.ts'
import { service, backend as standard } from '../drivers/ipvs/tables.ts'
import { backend, serviceRow, settingsRow, tablesOf } from './rows.ts'

const VIP = '203.0.113.1'
const KEY = `service/${VIP}:80/tcp`
const addressOf = (host: number): string => `10.0.1.${host}`

type Weights = Readonly<Record<number, number>>

const onIpvs = (weights: Weights, scheduler: string, fallback = true): NodeTables => {
  const row: IpvsServiceRow = service({
    match: { by: 'address', vip: VIP, port: 80, protocol: 'tcp' },
    scheduler,
    schedulerFlags: { port: true, fallback },
    backends: Object.entries(weights).map(([host, weight]) =>
      standard({ address: addressOf(Number(host)), port: 80, weight }),
    ),
  })
  return { ...tablesOf(), ipvs: { [KEY]: row } }
}
const onXdp = (weights: Weights, fields: object = {}): NodeTables =>
  tablesOf({
    ...serviceRow(
      VIP,
      Object.entries(weights).map(([host, weight]) => backend(addressOf(Number(host)), weight)),
    ),
    ...fields,
  })

function impactOf(before: NodeTables, after: NodeTables): Impact {
  const sides = { before: new Map([['lb-1', before]]), after: new Map([['lb-1', after]]) }
  return planFleet({ base: null, head: null, ...sides, names: {} }).services[0]!.impact
}

test('of mh the very slots of the kernel are compared', () => {
  const [before, after] = [
    { 1: 1, 2: 1, 3: 1, 4: 1 },
    { 1: 1, 2: 1, 3: 1 },
  ]
  const impact = impactOf(onIpvs(before, 'mh'), onIpvs(after, 'mh'))
  const tableOf = (weights: Weights) =>
    buildMhTable(
      Object.entries(weights).map(([host, weight]) => ({
        ...{ address: addressOf(Number(host)), port: 80 },
        ...{ weight, lastWeight: weight },
      })),
    )
  const [was, is] = [tableOf(before), tableOf(after)]
  assert.deepEqual([impact.basis, impact.slots], ['table', 4093])
  assert.equal(impact.moved, was.filter((index, slot) => index !== is[slot]).length)
  assert.equal(impact.minimum, was.filter(index => index === 3).length)
  assert.ok(impact.moved > impact.minimum, 'its permutations move some that need not move')
})

test('a backend of mh that drains moves its own flows and no other, to all others', () => {
  const impact = impactOf(onIpvs({ 1: 2, 2: 2, 3: 2 }, 'mh'), onIpvs({ 1: 2, 2: 0, 3: 2 }, 'mh'))
  assert.equal(impact.moved, impact.minimum)
  assert.deepEqual(new Set(impact.moves.map(({ from }) => from)), new Set([addressOf(2)]))
  assert.deepEqual(new Set(impact.moves.map(({ to }) => to)), new Set([addressOf(1), addressOf(3)]))
  const cut = impactOf(onIpvs({ 1: 2, 2: 2, 3: 2 }, 'mh', false), onIpvs({ 1: 2, 2: 0, 3: 2 }, 'mh', false))
  assert.deepEqual(new Set(cut.moves.map(({ to }) => to)), new Set([null]), 'without a fallback, to nobody')
})

test('sh goes by its 256 slots, dh to one backend, and others by weights', () => {
  const [before, after] = [
    { 1: 1, 2: 1 },
    { 1: 1, 2: 3 },
  ]
  const [sh, dh, wrr] = ['sh', 'dh', 'wrr'].map(each => impactOf(onIpvs(before, each), onIpvs(after, each)))
  assert.deepEqual([sh!.basis, sh!.slots, sh!.moved, sh!.minimum], ['table', 256, 64, 64])
  assert.deepEqual(
    [dh!.basis, dh!.moved, dh!.backends.map(each => each.share_after).sort()],
    ['table', 0, [0, 1]],
  )
  assert.deepEqual([wrr!.basis, Math.round((100 * wrr!.moved) / wrr!.slots)], ['weights', 25])
})

test('between two ways to choose, as much stays as both give to the same backend', () => {
  const [half, thirds] = [
    { 1: 1, 2: 1 },
    { 1: 1, 2: 1, 3: 1 },
  ]
  for (const [before, after, share] of [
    [onIpvs(half, 'wrr'), onXdp(half), 50],
    [onXdp(thirds), onXdp(thirds, { hashBy: 'source' }), 67],
    [onIpvs(thirds, 'mh'), onIpvs(thirds, 'lc'), 67],
  ] as const) {
    const { basis, moved, slots } = impactOf(before, after)
    assert.deepEqual([basis, Math.round((100 * moved) / slots)], ['independent', share])
  }
})

test('whatever the schedulers, what moves adds up and is no less than must move', () => {
  const weights = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.integer({ min: 0, max: 50 }), {
    minKeys: 1,
    maxKeys: 9,
  })
  const side = fc.tuple(weights, fc.constantFrom('mh', 'sh', 'dh', 'wrr', 'lc', 'xdp'), fc.boolean())
  const make = ([some, scheduler, fallback]: [Record<string, number>, string, boolean]) =>
    scheduler === 'xdp' ? onXdp(some) : onIpvs(some, scheduler, fallback)
  fc.assert(
    fc.property(side, side, (before, after) => {
      const { moved, minimum, slots, moves, moves_cut, backends } = impactOf(make(before), make(after))
      assert.ok(0 <= minimum && minimum <= moved && moved <= slots)
      assert.equal(
        moves.reduce((sum, move) => sum + move.slots, moves_cut),
        moved,
      )
      for (const { from, to } of moves) assert.notEqual(from, to)
      for (const at of ['share_before', 'share_after'] as const)
        assert.ok(backends.reduce((sum, each) => sum + each[at], 0) < 1 + 1e-9)
    }),
    { numRuns: 300 },
  )
})

test('of two independent hashes the share that moves is exact, also where a pair of backends has less than a slot', () => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, host) => [host, 1 + (host % 7)]))
  const impact = impactOf(onXdp(many), onXdp(many, { hashBy: 'source' }))
  const stays = impact.backends.reduce((sum, each) => sum + each.share_before * each.share_after, 0)
  assert.equal(impact.moved, Math.round((1 - stays) * impact.slots))
})

test('a new fleet key is told of every service of XDP, and leaves those of IPVS alone', () => {
  const withKey = (fleetKey: string): NodeTables => {
    const { xdp } = tablesOf(
      settingsRow({ fleetKey }),
      serviceRow(VIP, [backend(addressOf(1)), backend(addressOf(2))]),
      serviceRow('203.0.113.2', [backend(addressOf(1))]),
    )
    const { ipvs } = onIpvs({ 1: 1, 2: 1 }, 'mh')
    return { ...tablesOf(), xdp, ipvs: { 'service/203.0.113.3:80/tcp': moved(ipvs[KEY] as IpvsServiceRow) } }
  }
  const moved = (row: IpvsServiceRow): IpvsServiceRow => ({
    ...row,
    match: { by: 'address', vip: '203.0.113.3', port: 80, protocol: 'tcp' },
  })
  const plan = planFleet({
    ...{ base: null, head: null, names: {} },
    before: new Map([['lb-1', withKey('0'.repeat(16))]]),
    after: new Map([['lb-1', withKey('1'.repeat(16))]]),
  })
  assert.deepEqual(
    plan.services.map(({ vip, change, risk, impact, details }) => [
      ...[vip, change, risk, impact.basis, details],
      Math.round((100 * impact.moved) / impact.slots),
    ]),
    [
      [VIP, 'update', ['hash-changed'], 'independent', ['fleetKey: changed'], 50],
      ['203.0.113.2', 'update', ['hash-changed'], 'independent', ['fleetKey: changed'], 0],
      ['203.0.113.3', 'unchanged', [], 'weights', [], 0],
    ],
  )
})

test('who is kept on a backend is part of the choice, for how long is not', () => {
  const kept = (persistence: IpvsServiceRow['persistence']): NodeTables => {
    const tables = onIpvs({ 1: 1, 2: 1 }, 'wrr')
    return { ...tables, ipvs: { [KEY]: { ...(tables.ipvs[KEY] as IpvsServiceRow), persistence } } }
  }
  const hour = { timeout: 3600, prefixLength: 32, engine: '' }
  const risksOf = (before: NodeTables, after: NodeTables) => {
    const sides = { before: new Map([['lb-1', before]]), after: new Map([['lb-1', after]]) }
    return planFleet({ base: null, head: null, ...sides, names: {} }).services[0]!.risk
  }
  assert.deepEqual(risksOf(kept(null), kept(hour)), ['hash-changed'])
  assert.deepEqual(risksOf(kept(hour), kept({ ...hour, prefixLength: 24 })), ['hash-changed'])
  assert.deepEqual(risksOf(kept(hour), kept({ ...hour, timeout: 60 })), [])
})
