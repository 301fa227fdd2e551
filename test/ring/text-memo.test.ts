import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTextMemo } from '../../reconciler/ring/text-memo.ts'

test('what was made of a text is made once, until there is no more room', () => {
  const made: string[] = []
  const memo = createTextMemo(1000, text => {
    made.push(text)
    return { text }
  })
  const texts = Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)
  const first = texts.map(memo)
  assert.deepEqual(
    first.map(({ text }) => text),
    texts,
  )
  assert.ok(texts.map(memo).every((value, i) => value === first[i]))
  assert.deepEqual(made, texts)
  memo('one more')
  assert.notEqual(memo(texts[0]!), first[0])
  assert.equal(memo('one more'), memo('one more'))
})

test('it keeps texts apart, whatever is in them', () => {
  const memo = createTextMemo(50, text => [text] as const)
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { maxLength: 200 }), texts => {
      for (const text of texts) assert.equal(memo(text)[0], text)
    }),
  )
})
