import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createPoke } from '../../reconciler/controller/poke.ts'

function start(t: TestContext) {
  let now = 0
  t.mock.timers.enable({ apis: ['setTimeout'] })
  t.mock.method(performance, 'now', () => now)
  const looks: number[] = []
  const poke = createPoke(() => looks.push(now))
  t.after(poke.stop)
  const pass = (ms: number): void => {
    for (let step = 0; step < ms; step += 10) {
      now += 10
      t.mock.timers.tick(10)
    }
  }
  return { poke, looks, pass }
}

test('one poke is one look, at once', t => {
  const { poke, looks, pass } = start(t)
  poke()
  pass(30_000)
  assert.deepEqual(looks, [0])
})

test('pokes with a pause between them are followed at once, each', t => {
  const { poke, looks, pass } = start(t)
  poke()
  pass(2_000)
  poke()
  pass(30_000)
  assert.deepEqual(looks, [0, 2_000])
})

test('a storm of a thousand in ten seconds is one look at its beginning and one after it', t => {
  const { poke, looks, pass } = start(t)
  for (let sent = 0; sent < 1000; sent++) {
    poke()
    pass(10)
  }
  pass(30_000)
  assert.deepEqual(looks, [0, 10_990])
})

test('a storm without end is followed every ten seconds', t => {
  const { poke, looks, pass } = start(t)
  for (let sent = 0; sent < 3_500; sent++) {
    poke()
    pass(10)
  }
  assert.deepEqual(looks, [0, 10_010, 20_020, 30_030])
})
