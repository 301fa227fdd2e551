import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  emptyMemory,
  firingOf,
  nextNotification,
  rememberDrift,
  rememberSent,
} from '../../reconciler/drift/alert-memory.ts'
import { type Alert, ReceiverMemory } from '../../schemas/alert.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { AlertRule } from '../../schemas/drift-settings.ts'
import { recordOf } from './drift-records.ts'

/** A receiver that takes what it is sent while `isUp`; what is known of it is written and read back each time. */
class Receiver {
  memory = emptyMemory()
  readonly got: Alert[] = []
  isUp = true
  readonly #rules: readonly AlertRule[]

  constructor(rule: Partial<AlertRule> = {}) {
    this.#rules = [AlertRule.parse(rule)]
  }

  at(now: number, records: readonly DriftRecord[]): Alert[] {
    const labelsOf = (node: string) => ({ zone: node === 'lb-2' ? 'b' : 'a' })
    this.memory = rememberDrift(this.memory, {
      records,
      isKnown: () => true,
      rules: this.#rules,
      labelsOf,
      now,
    })
    this.memory = ReceiverMemory.parse(JSON.parse(JSON.stringify(this.memory)))
    const { notification } = nextNotification(this.memory, 'ops', now)
    if (notification === null || !this.isUp) return []
    this.got.push(...notification.alerts)
    this.memory = rememberSent(this.memory, notification)
    return notification.alerts
  }
}

const healed = (since: number, healedAt: number) => recordOf({ since, healedAt, healedBy: 'repair' })
const told = (alerts: readonly Alert[]) => alerts.map(({ status, count }) => `${status} ${count}`)

describe('a receiver', () => {
  test('is told once that drift fires, and once that it is gone', () => {
    const receiver = new Receiver()
    assert.deepEqual(told(receiver.at(1000, [recordOf()])), ['firing 1'])
    assert.deepEqual(receiver.at(2000, [recordOf()]), [])
    assert.equal(firingOf(receiver.memory).length, 1)
    const ends = receiver.at(9000, [healed(1000, 8000)])
    assert.deepEqual(told(ends), ['resolved 0'])
    assert.match(
      ends[0]!.summary,
      /lost backend 10\.0\.1\.13 of web \(31% of its flows\), repaired after 7\.0 s/,
    )
    assert.deepEqual(receiver.at(9001, [healed(1000, 8000)]), [])
    assert.deepEqual(firingOf(receiver.memory), [])
  })

  test('that was away is told what was and what is, each once', () => {
    const receiver = new Receiver()
    receiver.isUp = false
    receiver.at(1000, [recordOf()])
    receiver.at(9000, [healed(1000, 8000)])
    const now = [healed(1000, 8000), healed(10_000, 11_000), recordOf({ key: 'settings', since: 12_000 })]
    receiver.at(12_000, now)
    receiver.isUp = true
    assert.deepEqual(told(receiver.at(90_000, now)), ['passed 2', 'firing 1'])
    assert.match(receiver.got.find(({ count }) => count === 2)!.summary, /2 times in 10 s/)
  })

  test('is told of what flaps every half minute, with a count', () => {
    const receiver = new Receiver()
    const episodes: DriftRecord[] = []
    for (let at = 0; at < 100; at++) {
      episodes.push(healed(at * 1000, at * 1000 + 300))
      receiver.at(at * 1000 + 400, episodes)
    }
    receiver.at(200_000, episodes)
    assert.deepEqual(told(receiver.got), ['passed 1', 'passed 30', 'passed 30', 'passed 30', 'passed 9'])
  })

  test('is told of what its rules say, and no more', () => {
    const missing = recordOf({ kind: 'missing', key: 'settings', effect: { share: null, text: 'unknown' } })
    const cases: [Partial<AlertRule>, DriftRecord, boolean][] = [
      [{ kinds: ['missing'] }, recordOf(), false],
      [{ kinds: ['missing'] }, missing, true],
      [{ minShare: 0.3 }, recordOf(), true],
      [{ minShare: 0.4 }, recordOf(), false],
      [{ minShare: 0.4 }, missing, true],
      [{ nodes: { matchLabels: { zone: 'b' } } }, recordOf(), true],
      [{ nodes: { matchLabels: { zone: 'a' } } }, recordOf(), false],
      [{ nodes: { names: ['lb-1'] } }, recordOf(), false],
      [{ services: ['web'] }, recordOf(), true],
      [{ services: ['dns'] }, recordOf(), false],
      [{ after: 5000 }, recordOf({ since: 6000 }), false],
      [{ after: 5000 }, healed(1000, 5000), false],
      [{ after: 5000 }, healed(1000, 6000), true],
    ]
    for (const [rule, record, isTold] of cases) {
      assert.equal(new Receiver(rule).at(10_000, [record]).length > 0, isTold, JSON.stringify(rule))
    }
  })
})

test('whatever happens: every episode is told, firing ends, and nothing is told twice', () => {
  const steps = fc.array(
    fc.record({
      gap: fc.constantFrom(1, 500, 40_000),
      lasts: fc.constantFrom(1, 700, 50_000),
      isUp: fc.boolean(),
    }),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(steps, drawn => {
      const receiver = new Receiver()
      const episodes: DriftRecord[] = []
      let now = 0
      for (const { gap, lasts, isUp } of drawn) {
        receiver.isUp = isUp
        now += gap
        receiver.at(now, [...episodes, recordOf({ since: now })])
        episodes.push(healed(now, now + lasts))
        now += lasts
        receiver.at(now, episodes)
      }
      receiver.isUp = true
      receiver.at(now + 60_000, episodes)
      assert.equal(
        receiver.got.reduce((sum, { count }) => sum + count, 0),
        drawn.length,
      )
      assert.deepEqual(receiver.at(now + 120_000, episodes), [])
      assert.deepEqual(firingOf(receiver.memory), [])
      assert.notEqual(receiver.got.at(-1)?.status, 'firing')
      assert.deepEqual(
        Object.keys(
          rememberDrift(receiver.memory, {
            ...{ records: [], isKnown: () => true, rules: [], labelsOf: () => ({}) },
            now: now + 10_000_000,
          }).told,
        ),
        [],
      )
    }),
  )
})
