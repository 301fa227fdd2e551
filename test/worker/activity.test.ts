import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noteActivity } from '../../reconciler/worker/activity.ts'
import { createFakeDriver } from './fake-driver.ts'

test('what a round is at is the call that is under way, or the round itself, since it last came further', async () => {
  let now = 100
  const answer = Promise.withResolvers<string>()
  const driver = { ...createFakeDriver(), fingerprint: () => answer.promise }
  const activity = noteActivity({ xdp: driver }, () => now)
  const xdp = activity.drivers.xdp!
  assert.equal(activity.doing(), null)
  await xdp.observe()
  assert.equal(activity.doing(), null, 'a call outside of a round is none')
  const hang = Promise.withResolvers<void>()
  const round = activity.round(async () => {
    await xdp.fingerprint()
    now = 700
    await hang.promise
  })
  now = 400
  assert.deepEqual(activity.doing(), { what: 'xdp fingerprint', forMs: 300 })
  answer.resolve('a')
  await new Promise(setImmediate)
  now = 950
  assert.deepEqual(activity.doing(), { what: 'its round', forMs: 550 })
  hang.resolve()
  await round
  assert.equal(activity.doing(), null)
})

test('a call that fails is over, and fails its caller', async () => {
  const driver = createFakeDriver()
  driver.beforeApply = () => {
    throw new Error('no')
  }
  const activity = noteActivity({ xdp: driver }, () => 0)
  await activity.round(async () => {
    await assert.rejects(activity.drivers.xdp!.apply([], new AbortController().signal), { message: 'no' })
    assert.deepEqual(activity.doing(), { what: 'its round', forMs: 0 })
  })
})
