import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { findFrozen, freezeAt, type ResolvedWindow, thawsAt } from '../../reconciler/rollout/freeze.ts'

const WEEKEND: ResolvedWindow = {
  ...{ mode: 'deny', schedule: '0 18 * * FRI', duration: '62h', timeZone: 'Europe/Berlin' },
  nodes: null,
}
const OFFICE: ResolvedWindow = {
  ...{ mode: 'allow', schedule: '0 9 * * MON-FRI', duration: '8h', timeZone: 'Europe/Berlin' },
  nodes: ['lb-1'],
}

const cases: [string, ResolvedWindow[], string, frozen: boolean, thaws: string][] = [
  ['before a window', [WEEKEND], '2026-11-20T16:59:59Z', false, '2026-11-20T16:59:59Z'],
  [
    'from its first moment, in its time zone',
    [WEEKEND],
    '2026-11-20T17:00:00Z',
    true,
    '2026-11-23T07:00:00Z',
  ],
  ['until its end', [WEEKEND], '2026-11-23T06:59:59Z', true, '2026-11-23T07:00:00Z'],
  ['in summer, an hour earlier', [WEEKEND], '2026-07-03T16:00:00Z', true, '2026-07-06T06:00:00Z'],
  ['outside of those that allow', [OFFICE], '2026-11-20T07:59:59Z', true, '2026-11-20T08:00:00Z'],
  ['inside of one that allows', [OFFICE], '2026-11-20T08:00:00Z', false, '2026-11-20T08:00:00Z'],
  ['one that denies goes first', [OFFICE, WEEKEND], '2026-11-21T10:00:00Z', true, '2026-11-23T08:00:00Z'],
]
for (const [title, windows, at, frozen, thaws] of cases) {
  test(`a node is frozen or not: ${title}`, () => {
    const now = Date.parse(at)
    assert.equal(freezeAt(windows, now)('lb-1'), frozen)
    assert.equal(thawsAt(windows, 'lb-1', now), Date.parse(thaws))
  })
}

test('a window of other nodes does not concern a node', () => {
  assert.equal(freezeAt([OFFICE], Date.parse('2026-11-21T10:00:00Z'))('lb-2'), false)
})

test('a window of a minute in every minute ends when the last of them does', () => {
  const office: ResolvedWindow = { ...WEEKEND, schedule: '* 9-21 * * *', duration: '1m', timeZone: 'UTC' }
  const [now, end] = ['2026-11-21T09:30:00Z', '2026-11-21T22:00:00Z'].map(text => Date.parse(text))
  assert.equal(thawsAt([office], 'lb-1', now!), end)
})

test('why nodes wait is what the windows say that keep them: those that deny, else those that do not allow', () => {
  const windows = [
    { ...WEEKEND, reason: 'weekend' },
    { ...OFFICE, reason: 'office hours' },
  ]
  const reasonsAt = (at: string) =>
    findFrozen(windows, ['lb-1', 'lb-2'], Date.parse(at)).map(({ nodes, reasons }) => [nodes.join(), reasons])
  assert.deepEqual(reasonsAt('2026-11-21T10:00:00Z'), [
    ['lb-1', ['weekend']],
    ['lb-2', ['weekend']],
  ])
  assert.deepEqual(reasonsAt('2026-11-20T07:00:00Z'), [['lb-1', ['office hours']]])
  assert.deepEqual(findFrozen([WEEKEND], ['lb-2'], Date.parse('2026-11-21T10:00:00Z'))[0]?.reasons, undefined)
})

test('what was found at one time holds for others of the same freeze, and for no others', () => {
  const find = (at: string) => thawsAt([WEEKEND], 'lb-1', Date.parse(at))
  const until = (at: string) => Date.parse(at)
  assert.equal(find('2026-11-22T10:00:00Z'), until('2026-11-23T07:00:00Z'))
  assert.equal(find('2026-11-21T10:00:00Z'), until('2026-11-23T07:00:00Z'))
  assert.equal(find('2026-11-20T10:00:00Z'), until('2026-11-20T10:00:00Z'))
  assert.equal(find('2026-11-23T06:59:59Z'), until('2026-11-23T07:00:00Z'))
  assert.equal(find('2026-11-23T07:00:00Z'), until('2026-11-23T07:00:00Z'))
  assert.equal(find('2026-11-28T10:00:00Z'), until('2026-11-30T07:00:00Z'))
  assert.equal(find('2026-11-21T10:00:00Z'), until('2026-11-23T07:00:00Z'))
})

test('windows that leave no gap say so', () => {
  const always: ResolvedWindow = { ...WEEKEND, schedule: '0 0 * * *', duration: '2d' }
  assert.equal(thawsAt([always], 'lb-1', Date.parse('2026-11-21T10:00:00Z')), null)
})

test('a freeze of weeks ends, however often windows of others, and its own, open meanwhile', () => {
  const yearEnd: ResolvedWindow = { ...WEEKEND, schedule: '0 0 15 12 *', duration: '30d', timeZone: 'UTC' }
  const hourly: ResolvedWindow = { ...WEEKEND, schedule: '0 * * * *', duration: '5m', timeZone: 'UTC' }
  const now = Date.parse('2026-12-15T10:00:00Z')
  const [end, after] = ['2027-01-14T00:00:00Z', '2027-01-14T00:05:00Z'].map(Date.parse)
  assert.equal(thawsAt([yearEnd, { ...hourly, nodes: ['lb-2'] }], 'lb-1', now), end)
  assert.equal(thawsAt([hourly, yearEnd], 'lb-1', now), after)
})

test('when a node thaws it is not frozen, and was a moment before', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1_750_000_000, max: 1_900_000_000 }), seconds => {
      const now = seconds * 1000
      const thaws = thawsAt([OFFICE, WEEKEND], 'lb-1', now)!
      assert.equal(freezeAt([OFFICE, WEEKEND], thaws)('lb-1'), false)
      if (thaws > now) assert.equal(freezeAt([OFFICE, WEEKEND], thaws - 1)('lb-1'), true)
    }),
    { numRuns: 30 },
  )
})
