import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { peakOf, ratesBetween, recordTraffic, WINDOW_MS } from '../../reconciler/plan/traffic-history.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import { TrafficRecord } from '../../schemas/traffic.ts'

const KEY = 'service/203.0.113.1:80/tcp'
const counted = (node: string, at: number, packets: Readonly<Record<string, number>>): NodeCounters => ({
  version: 1,
  node,
  at,
  services: {
    [KEY]: Object.entries(packets).map(([address, count]) => ({
      address,
      packets: count,
      bytes: 0,
      newFlows: 0,
      connections: 0,
    })),
  },
  liveFlows: 0,
})

test('rates are of both counts, over all nodes; a count that went back began again', () => {
  const rates = ratesBetween(
    [counted('lb-1', 0, { a: 100, b: 50 }), counted('lb-2', 0, { a: 0 }), counted('lb-3', 0, { a: 0 })],
    [
      counted('lb-1', 10_000, { a: 200, b: 20 }),
      counted('lb-2', 10_000, { a: 300 }),
      // Was not counted again; and one that nothing is known of before.
      counted('lb-3', 0, { a: 0 }),
      counted('lb-4', 10_000, { a: 1_000_000 }),
    ],
  )
  assert.deepEqual(Object.fromEntries(rates.get(KEY)!), { a: 40, b: 2 })
})

test('a peak is the most of the running window and the one before it, and a record does not grow', () => {
  const steps = fc.array(
    fc.record({ after: fc.integer({ min: 1, max: WINDOW_MS }), rate: fc.integer({ min: 0, max: 1000 }) }),
    { minLength: 1, maxLength: 40 },
  )
  fc.assert(
    fc.property(steps, list => {
      let at = 0
      let record: TrafficRecord | null = null
      const history: { at: number; rate: number }[] = []
      for (const { after, rate } of list) {
        at += after
        history.push({ at, rate })
        record = recordTraffic(record, { at, rates: new Map([['a', rate]]) })
        const window = Math.floor(at / WINDOW_MS)
        const lately = history.filter(each => Math.floor(each.at / WINDOW_MS) >= window - 1)
        const most = lately.reduce((sum, each) => Math.max(sum, each.rate), 0)
        assert.equal(peakOf(record.total), most)
        assert.equal(record.total.rate, rate)
        assert.equal(record.backends.a === undefined ? 0 : peakOf(record.backends.a), most)
        assert.deepEqual(TrafficRecord.parse(record), record)
      }
    }),
  )
})

test('a backend without traffic for a window is forgotten', () => {
  const first = recordTraffic(null, { at: 0, rates: new Map([['a', 5]]) })
  const next = recordTraffic(first, { at: WINDOW_MS, rates: new Map([['b', 1]]) })
  assert.deepEqual(Object.keys(next.backends), ['a', 'b'])
  const last = recordTraffic(next, { at: 2 * WINDOW_MS, rates: new Map([['b', 1]]) })
  assert.deepEqual(Object.keys(last.backends), ['b'])
})
