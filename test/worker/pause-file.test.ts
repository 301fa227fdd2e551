import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openKeptPause } from '../../reconciler/worker/pause-file.ts'
import { PAUSE_VERSION } from '../../schemas/drift-policy.ts'
import { temporaryFolder } from '../repo/make-repository.ts'

const pause = { version: PAUSE_VERSION, since: 1_000, until: 60_000, why: 'a cable', by: 'ada' } as const

test('a pause outlives the worker and a Redis that lost it, and ends by itself', async t => {
  const file = join(temporaryFolder(t), 'pause.json')
  const first = await openKeptPause(file)
  assert.equal(first.current(1_000), null)
  await first.take(pause)
  await first.take(null)
  assert.deepEqual(first.current(59_999), pause)
  const second = await openKeptPause(file)
  assert.deepEqual(second.current(59_999), pause)
  assert.equal(second.current(60_000), null)
})

test('a pause that was ended is over, also for the worker that starts next', async t => {
  const file = join(temporaryFolder(t), 'pause.json')
  const kept = await openKeptPause(file)
  await kept.take(pause)
  await kept.take({ ...pause, until: 5_000 })
  assert.equal(kept.current(5_000), null)
  assert.equal((await openKeptPause(file)).current(5_000), null)
})

test('a file that is no pause is none', async t => {
  const file = join(temporaryFolder(t), 'pause.json')
  writeFileSync(file, '{"until": "never"}')
  assert.equal((await openKeptPause(file)).current(0), null)
})
