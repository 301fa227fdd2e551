import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONTENDERS } from './contenders.ts'
import { drawComparison } from './draw-comparison.ts'

test('the picture names everybody, with the ratio beside, and says what it is not', async () => {
  const figures = CONTENDERS.map(({ name, title }, number) => ({ name, title, ratio: 1.25 + number }))
  const svg = await drawComparison(figures)
  for (const { title, ratio } of figures) {
    assert.ok(svg.includes(`>${title}</text>`), title)
    assert.ok(svg.includes(`>${ratio.toFixed(2)}</text>`), title)
  }
  assert.match(svg, /prove nothing about a network card/)
})
