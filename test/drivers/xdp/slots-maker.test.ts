import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSlotsMaker, type MadeSlots } from '../../../reconciler/drivers/xdp/slots-maker.ts'
import { buildRing, type RingBackend } from '../../../reconciler/ring/maglev.ts'
import { ringDigest } from '../../../reconciler/ring/ring-digest.ts'

const pool = (number: number): RingBackend[] =>
  Array.from({ length: number }, (_, i) => ({
    address: i % 2 === 0 ? `10.0.${number}.${i}` : `2001:db8::${number}:${i}`,
    weight: (i * number) % 4,
  }))

function makeHere(backends: readonly RingBackend[]): MadeSlots {
  const addresses = backends.map(({ address }) => address)
  const slots = buildRing(backends)
  return { slots, digest: ringDigest(addresses, slots) }
}

test('rings that are made on threads are those that are made here, each once', async () => {
  let here = 0
  await using maker = createSlotsMaker(async backends => {
    here++
    return makeHere(backends)
  }, 2)
  const pools = [0, 1, 2, 3, 4, 5, 6, 7].map(pool)
  const made = await Promise.all([...pools, ...pools].map(each => maker.make(each)))
  assert.deepEqual(made, [...pools, ...pools].map(makeHere))
  assert.equal(here, 2)
  assert.equal(new Set(made.map(({ slots }) => slots)).size, pools.length)
})
