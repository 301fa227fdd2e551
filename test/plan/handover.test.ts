import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findLeaving, GRACEFUL_SHUTDOWN, type Leaving, planStep } from '../../reconciler/plan/handover.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { tablesFor } from './offers.ts'

const HANDOVER = { shutdownTime: 2, drainTimeout: 30 }
const VIPS = ['203.0.113.1', '203.0.113.2', '203.0.113.3']
const BACKENDS = ['10.0.1.1', '10.0.1.2', '10.0.1.3']
const anyOffers = fc.subarray(VIPS).chain(vips =>
  fc.tuple(
    ...vips.map(vip =>
      fc.record({
        vip: fc.constant(vip),
        dataplane: fc.constantFrom('xdp' as const, 'ipvs' as const),
        announced: fc.boolean(),
        backends: fc.subarray(BACKENDS, { minLength: 1 }),
      }),
    ),
  ),
)

const tableOf = (tables: NodeTables, driver: 'xdp' | 'ipvs'): Readonly<Record<string, unknown>> =>
  tables[driver]

test('what goes ends, and nothing goes before what leads to it, or with connections before its time (rule 2)', () => {
  fc.assert(
    fc.property(
      anyOffers,
      anyOffers,
      fc.dictionary(fc.constantFrom(...VIPS), fc.integer({ min: 0, max: 60 })),
      (before, after, endsAt) => {
        const wanted = tablesFor(after)
        let observed = tablesFor(before)
        let leaving: Leaving = {}
        const shutFor = new Map<string, number>()
        for (let second = 0; second <= 200; second += 1) {
          const open = (key: string) =>
            new Map(
              second < (Object.entries(endsAt).find(([vip]) => key.includes(vip))?.[1] ?? 0)
                ? BACKENDS.flatMap(each => [
                    [each, 1],
                    [`${each} 80`, 1],
                  ])
                : [],
            )
          const step = planStep({
            wanted,
            observed,
            leaving,
            handover: HANDOVER,
            now: 1000 * second,
            connections: (_, key) => open(key),
          })
          for (const driver of ['xdp', 'ipvs'] as const)
            for (const key of Object.keys(tableOf(observed, driver)).filter(each =>
              each.startsWith('service/'),
            )) {
              if (tableOf(step.target, driver)[key] !== undefined) continue
              const other = driver === 'xdp' ? 'ipvs' : 'xdp'
              const moved = tableOf(wanted, other)[key] !== undefined
              const vip = key.slice('service/'.length).split(':')[0]
              const led = Object.entries(observed.bgp).some(
                ([name]) => name === `route/${vip}/32` && wanted.bgp[name] === undefined,
              )
              assert.ok(moved || !led, `${key} goes while it is announced`)
              assert.ok(moved || open(key).size === 0 || second >= HANDOVER.drainTimeout)
            }
          for (const [key, row] of Object.entries(step.target.bgp)) {
            if (row.kind === 'route' && wanted.bgp[key] === undefined) {
              assert.ok(row.communities.includes(GRACEFUL_SHUTDOWN))
              shutFor.set(key, (shutFor.get(key) ?? 0) + 1)
            }
          }
          for (const key of Object.keys(observed.bgp))
            if (key.startsWith('route/') && step.target.bgp[key] === undefined)
              assert.equal(shutFor.get(key), HANDOVER.shutdownTime)
          if (Object.values(step.target.bgp).some(({ kind }) => kind === 'route'))
            assert.ok(step.target.bgp['peer/tor'] !== undefined)
          for (const row of Object.values(step.target.ipvs))
            if (row.kind === 'service' && row.match.by === 'address')
              assert.ok(step.target.ipvs[`vip/${row.match.vip}`] !== undefined)
          ;({ target: observed, leaving } = step)
        }
        assert.deepEqual(observed, wanted)
        assert.deepEqual(leaving, {})
      },
    ),
  )
})

test('a backend that leaves a service of IPVS gets nothing new, and goes when its connections have ended', () => {
  const offer = { vip: VIPS[0]!, dataplane: 'ipvs', announced: false } as const
  const observed = tablesFor([{ ...offer, backends: BACKENDS.slice(0, 2) }])
  const wanted = tablesFor([{ ...offer, backends: BACKENDS.slice(1, 3) }])
  const key = `service/${VIPS[0]}:80/tcp`
  assert.deepEqual(findLeaving(wanted, observed), { xdp: [], ipvs: [key] })
  const input = { wanted, observed, leaving: {}, handover: HANDOVER, now: 0 }
  const held = planStep({ ...input, connections: () => new Map([['10.0.1.1 80', 2]]) })
  const row = held.target.ipvs[key]
  assert.deepEqual(row?.kind === 'service' && row.backends.map(({ address, weight }) => [address, weight]), [
    ['10.0.1.1', 0],
    ['10.0.1.2', 100],
    ['10.0.1.3', 100],
  ])
  assert.deepEqual(held.pending, [
    `${key} 10.0.1.1 80 has 2 connections left, and goes at 1970-01-01T00:00:30Z at the latest`,
  ])
  assert.deepEqual(planStep({ ...input, connections: () => new Map() }).target, wanted)
  const later = { ...input, leaving: held.leaving, now: 30_000 }
  assert.deepEqual(planStep({ ...later, connections: () => new Map([['10.0.1.1 80', 2]]) }).target, wanted)
})

test('a service moves to IPVS and back: both serve it, and the old one goes when it has no connections left', () => {
  const offer = { vip: VIPS[0]!, announced: false, backends: BACKENDS } as const
  const xdp = tablesFor([{ ...offer, dataplane: 'xdp' }])
  const ipvs = tablesFor([{ ...offer, dataplane: 'ipvs' }])
  const key = `service/${VIPS[0]}:80/tcp`
  const one = () => new Map([['10.0.1.1', 1]])
  const none = () => new Map<string, number>()
  /** What is held after each step: the direction that XDP has, whether IPVS has it. */
  const walk = (wanted: NodeTables, from: NodeTables, connections: (() => Map<string, number>)[]) => {
    let observed = from
    let leaving: Leaving = {}
    return connections.map(open => {
      const step = planStep({ wanted, observed, leaving, connections: open, handover: HANDOVER, now: 0 })
      ;({ target: observed, leaving } = step)
      const row = observed.xdp[key]
      const held = row?.kind === 'service' ? (row.handover ?? 'alone') : 'gone'
      const isDone = JSON.stringify(observed) === JSON.stringify(wanted)
      assert.equal(step.pending.length > 0, !isDone)
      if (observed.ipvs[key] !== undefined) assert.ok(observed.ipvs[`vip/${VIPS[0]}`])
      return [held, observed.ipvs[key] === undefined ? 'gone' : 'there']
    })
  }
  // IPVS stands before XDP lets anything pass, even when there is no connection.
  assert.deepEqual(walk(ipvs, xdp, [none, none, none]), [
    ['alone', 'there'],
    ['to-ipvs', 'there'],
    ['gone', 'there'],
  ])
  assert.deepEqual(walk(ipvs, xdp, [one, one, one, none]), [
    ['alone', 'there'],
    ['to-ipvs', 'there'],
    ['to-ipvs', 'there'],
    ['gone', 'there'],
  ])
  // Connections of IPVS are counted once XDP takes all that is new.
  assert.deepEqual(walk(xdp, ipvs, [none, one, none]), [
    ['from-ipvs', 'there'],
    ['from-ipvs', 'there'],
    ['alone', 'gone'],
  ])
  // Turned round in the middle.
  const halfway = planStep({
    wanted: ipvs,
    observed: xdp,
    leaving: {},
    connections: one,
    handover: HANDOVER,
    now: 0,
  })
  const further = { wanted: ipvs, leaving: halfway.leaving, connections: one, handover: HANDOVER, now: 0 }
  const moving = planStep({ ...further, observed: halfway.target })
  assert.deepEqual(walk(xdp, moving.target, [one, none]), [
    ['from-ipvs', 'there'],
    ['alone', 'gone'],
  ])
})

test('services of one VIP leave XDP together, when none of them has connections left', () => {
  const offer = { vip: VIPS[0]!, announced: false, backends: BACKENDS } as const
  const twice = (tables: NodeTables): NodeTables => {
    const key = `service/${VIPS[0]}:80/tcp`
    const other = `service/${VIPS[0]}:443/tcp`
    const { xdp, ipvs } = tables
    const ofXdp = xdp[key]
    const ofIpvs = ipvs[key]
    if (ofXdp?.kind === 'service') xdp[other] = { ...ofXdp, port: 443 }
    if (ofIpvs?.kind === 'service' && ofIpvs.match.by === 'address')
      ipvs[other] = { ...ofIpvs, match: { ...ofIpvs.match, port: 443 } }
    return tables
  }
  const wanted = twice(tablesFor([{ ...offer, dataplane: 'ipvs' }]))
  let observed = twice(tablesFor([{ ...offer, dataplane: 'xdp' }]))
  let leaving: Leaving = {}
  const left: number[] = []
  for (const open of [1, 1, 1, 0]) {
    const connections = (_: string, key: string) => new Map([['10.0.1.1', key.includes('443') ? open : 0]])
    const step = planStep({ wanted, observed, leaving, connections, handover: HANDOVER, now: 0 })
    ;({ target: observed, leaving } = step)
    left.push(Object.values(observed.xdp).filter(({ kind }) => kind === 'service').length)
  }
  assert.deepEqual(left, [2, 2, 2, 0])
  assert.deepEqual(observed, wanted)
})

test('a node with nothing on its way out should be just what is wanted', () => {
  const wanted = tablesFor([{ vip: VIPS[0]!, dataplane: 'xdp', announced: true, backends: BACKENDS }])
  const step = planStep({
    wanted,
    observed: tablesFor([]),
    leaving: { 'xdp service/gone': 5 },
    handover: HANDOVER,
    now: 0,
    connections: () => null,
  })
  assert.equal(step.target, wanted)
  assert.deepEqual([step.pending, step.leaving], [[], {}])
})
