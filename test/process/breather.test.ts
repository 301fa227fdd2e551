import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBreather } from '../../reconciler/process/breather.ts'

/** Longer than a slice. */
function work(): void {
  const until = performance.now() + 2
  while (performance.now() < until);
}

test('of those that wait for the next slice, one goes on in each turn of the event loop', async () => {
  const breathe = createBreather()
  let turn = 0
  let ended = false
  const count = (): void => {
    turn++
    if (!ended) setImmediate(count)
  }
  setImmediate(count)
  const turns = await Promise.all(
    Array.from({ length: 8 }, async () => {
      work()
      await breathe()
      work()
      return turn
    }),
  )
  ended = true
  assert.equal(new Set(turns).size, turns.length, `in turns ${turns.join(', ')}`)
})
