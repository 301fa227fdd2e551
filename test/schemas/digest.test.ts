import assert from 'node:assert/strict'
import { test } from 'node:test'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { canonicalJson, digestOf } from '../../schemas/digest.ts'

test('canonical JSON is what RFC 8785 says, as another implementation of it has it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      assert.equal(canonicalJson(value), canonicalize(value))
    }),
    { numRuns: 500 },
  )
  const value = { b: [1e21, -0, 1e-7, '\u20ac\u2028"\\\n'], a: { '10': null, '9': true, é: 1, e: undefined } }
  assert.equal(canonicalJson(value), canonicalize(value))
})

test('the order of keys makes no difference to a digest, that of lists does', () => {
  assert.equal(digestOf({ a: 1, b: { c: 2, d: 3 } }), digestOf({ b: { d: 3, c: 2 }, a: 1 }))
  assert.notEqual(digestOf([1, 2]), digestOf([2, 1]))
})

test('what JSON cannot hold is refused', () => {
  for (const value of [
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n,
    () => 1,
    [undefined],
    { a: Symbol('b') },
  ])
    assert.throws(() => canonicalJson(value), TypeError)
})
