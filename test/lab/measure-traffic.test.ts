import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  findUnfair,
  longestSilence,
  type Response,
  sharesOfWeights,
} from '../../reconciler/lab/measure-traffic.ts'

const responses = (counts: Record<string, number>): Response[] =>
  Object.entries(counts).flatMap(([backend, count]) =>
    Array.from({ length: count }, () => ({ kind: 'response', at: 0, ms: 1, target: '', backend }) as const),
  )

test('shares are the weights, as parts of one', () => {
  assert.deepEqual(sharesOfWeights({ a: 100, b: 50, c: 0, d: 50 }), { a: 0.5, b: 0.25, c: 0, d: 0.25 })
})

test('a draw near the weights is fair, and one that ignores them is not', () => {
  const expected = sharesOfWeights({ a: 100, b: 50 })
  assert.deepEqual(findUnfair(responses({ a: 615, b: 285 }), expected), [])
  assert.deepEqual(findUnfair(responses({ a: 450, b: 450 }), expected), ['a', 'b'])
})

test('a drained backend, or one that nobody asked for, may have a few requests and no more', () => {
  const expected = sharesOfWeights({ a: 0, b: 100 })
  assert.deepEqual(findUnfair(responses({ a: 10, b: 890 }), expected), [])
  assert.deepEqual(findUnfair(responses({ a: 40, b: 860 }), expected), ['a', 'b'])
  assert.deepEqual(findUnfair(responses({ b: 860, c: 40 }), expected), ['b', 'c'])
})

test('the longest silence of a connection is between two echoes', () => {
  const echo = (at: number) => ({ kind: 'echo', at, ms: 1, backend: 'a' }) as const
  const opened = { kind: 'opened', at: 0, backend: 'a', attempts: 1 } as const
  assert.equal(longestSilence([opened, echo(100), echo(150), echo(400), echo(420)]), 250)
  assert.equal(longestSilence([opened]), 0)
})
