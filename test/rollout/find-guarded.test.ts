import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findGuarded } from '../../reconciler/rollout/find-guarded.ts'
import { NODE_COUNTERS_VERSION, type NodeCounters } from '../../schemas/node-counters.ts'
import { desire, type FleetOf } from './fleets.ts'

const NOW = Date.parse('2026-11-20T12:00:00Z')

function judge(before: FleetOf, after: FleetOf, counters: readonly NodeCounters[] = []): string[] {
  return findGuarded({ before: desire(before), after: desire(after), counters, now: NOW }).map(
    ({ rule, message, hint }) => `${rule}: ${message} ${hint}`,
  )
}

const web = (backends: number[], rest: object = {}) => ({ web: { vip: 10, backends, ...rest } })
const limited = (guards: object, services: FleetOf['services'] = {}): FleetOf => ({
  spec: { guards },
  services,
})
const FOUR = [1, 2, 3, 4]

test('without guards anything may go', () => {
  assert.deepEqual(judge({ services: web(FOUR) }, { services: web([5]) }), [])
})

test('at most so many backends may go out of service: removed or drained', () => {
  const from = limited({ backends: 0.5 }, web(FOUR))
  assert.deepEqual(judge(from, limited({ backends: 0.5 }, web([1, 2]))), [])
  assert.deepEqual(judge(from, limited({ backends: 0.5 }, web([1, 2, -3, -4]))), [])
  const [found] = judge(from, limited({ backends: 0.5 }, web([1, -2, -3, 5])))
  assert.match(
    found!,
    /^guard-backends: web: 75 % of its backends would go out of service \(10\.0\.1\.2, 10\.0\.1\.3, 10\.0\.1\.4\), and at most 50 % may\..*override\.ballast\.dev\/backends: "0\.75 until <time>"/,
  )
})

test('flows: those of drained backends stay, those of removed ones do not', () => {
  const from = limited({ flows: 0.3 }, web(FOUR))
  assert.deepEqual(judge(from, limited({ flows: 0.3 }, web([1, 2, -3, -4]))), [])
  assert.deepEqual(judge(from, limited({ flows: 0.3 }, web([1, 2, 3]))), [])
  assert.match(judge(from, limited({ flows: 0.3 }, web([1, 2])))[0]!, /^guard-flows: web: 50 % of its flows/)
})

test('flows are counted where nodes say how many there are', () => {
  const backend = (host: number, connections: number) => ({
    ...{ address: `10.0.1.${host}`, packets: 0, bytes: 0, newFlows: 0, connections },
  })
  const counters: NodeCounters = {
    ...{ version: NODE_COUNTERS_VERSION, node: 'lb-1', at: NOW, liveFlows: 100 },
    services: {
      'service/203.0.113.10:80/tcp': [backend(1, 90), backend(2, 10), backend(3, 0), backend(4, 0)],
    },
  }
  const from = limited({ flows: 0.3 }, web(FOUR))
  assert.deepEqual(judge(from, limited({ flows: 0.3 }, web([1])), [counters]), [])
  assert.match(judge(from, limited({ flows: 0.3 }, web([2, 3, 4])), [counters])[0]!, /90 % of its flows/)
})

test('so many backends must get new flows, unless there were no more before', () => {
  const guards = { minimumHealthy: 0.5 }
  assert.deepEqual(judge(limited(guards, web(FOUR)), limited(guards, web([1, 2, -3, -4]))), [])
  assert.match(
    judge(limited(guards, web(FOUR)), limited(guards, web([1, -2, -3, -4])))[0]!,
    /^guard-minimum-healthy: web: only 25 % of its backends.*"0\.25 until/,
  )
  assert.deepEqual(
    judge(limited(guards, web([1, -2, -3, -4])), limited(guards, web([1, 5, -2, -3, -4, -6]))),
    [],
  )
})

test('at most so many VIPs may go away, and nodes may cease to serve one', () => {
  const many = Object.fromEntries(FOUR.map(vip => [`s${vip}`, { vip, backends: [1] }]))
  const { s1, s2, ...fewer } = many
  assert.match(
    judge(limited({ vips: 0.25 }, many), limited({ vips: 0.25 }, fewer))[0]!,
    /^guard-vips: 2 of 4 VIPs would go away \(203\.0\.113\.1, 203\.0\.113\.2\), and at most 25 % may.*in a commit before this one/,
  )
  assert.deepEqual(judge(limited({ vips: 0.25 }, many), limited({ vips: 0.25 }, { s1: s1!, ...fewer })), [])
  assert.match(
    judge(
      limited({ announcements: 0.3 }, web([1])),
      limited({ announcements: 0.3 }, web([1], { on: ['lb-2'] })),
    )[0]!,
    /^guard-announcements: 1 of the 2 nodes that serve 203\.0\.113\.10 \(web\) would cease to: lb-1/,
  )
  assert.ok(s2)
})

test('what a service says goes before what the fleet says', () => {
  const guards = { guards: { backends: 1 } }
  assert.deepEqual(
    judge(limited({ backends: 0 }, web(FOUR, guards)), limited({ backends: 0 }, web([5], guards))),
    [],
  )
})

test('a revision cannot loosen the guard that it breaks', () => {
  assert.equal(judge(limited({ backends: 0.5 }, web(FOUR)), limited({}, web([1]))).length, 1)
  assert.equal(judge(limited({}, web(FOUR)), limited({ backends: 0.5 }, web([1]))).length, 1)
})

test('an override lets the one revision that brings it, as far as it says, until it expires', () => {
  const guards = { backends: 0.25 }
  const from = limited(guards, web(FOUR))
  const to = (text: string, name = 'backends') =>
    limited(guards, web([1, 2], { annotations: { [`override.ballast.dev/${name}`]: text } }))
  assert.deepEqual(judge(from, to('50% until 2026-11-21T00:00:00Z')), [])
  const refusal = (...sides: [FleetOf, FleetOf]): string => {
    const [found, ...more] = judge(...sides)
    assert.equal(more.length, 0)
    return found!
  }
  const end = '2026-11-21T00:00:00Z'
  assert.match(refusal(from, to(`40% until ${end}`)), /at most 25 % may\. Its override says 40 %\. /)
  assert.match(refusal(from, to('50% until 2026-11-20T00:00:00Z')), /override ended at 2026-11-20T00:00:00/)
  assert.doesNotMatch(refusal(from, to(`50% until ${end}`, 'flows')), /Its override/)
  const used = { annotations: { 'override.ballast.dev/backends': '50% until 2026-11-21T00:00:00Z' } }
  assert.match(
    refusal(limited(guards, web(FOUR, used)), limited(guards, web([1, 2], used))),
    /Its override is of an earlier revision/,
  )
})

test('a VIP goes with an override that its service was given before', () => {
  const override = { 'override.ballast.dev/vips': '1 until 2026-11-21T00:00:00Z' }
  const guards = { vips: 0 }
  assert.deepEqual(judge(limited(guards, web([1], { annotations: override })), limited(guards)), [])
  assert.equal(judge(limited(guards, web([1])), limited(guards)).length, 1)
})
