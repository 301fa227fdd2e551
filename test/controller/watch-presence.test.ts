import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { watchPresence } from '../../reconciler/controller/watch-presence.ts'
import { silentLog } from '../../reconciler/log/log.ts'

/** A watch by hand: what it asked, and a clock that steps. */
function makeWatch(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  const asked = { signs: 0, fleet: 0, changes: 0 }
  let until: number | null = null
  let observed: string | null = null
  let epoch: number | null = 1
  const known = [{ node: 'lb-1' }]
  const restored: unknown[] = []
  const written: unknown[] = []
  const presence = watchPresence({
    readSigns: async () => {
      asked.signs += 1
      return { listening: new Set<string>(), heartbeats: new Map() }
    },
    nodes: () => ['lb-1'],
    drift: {
      signs: () => {},
      ofFleet: () => {
        asked.fleet += 1
        return observed === null ? [] : [{ node: 'lb-1', kind: 'rings-disagree', observed } as never]
      },
      untilTold: () => until,
      restore: records => {
        restored.push(...records)
      },
    },
    memory: {
      read: async () => ({ records: known as never, reports: [] }),
      write: async records => {
        written.push(records)
      },
    },
    epoch: () => epoch,
    onChange: () => {
      asked.changes += 1
    },
    log: silentLog(),
  })
  t.after(presence.stop)
  return {
    asked,
    presence,
    restored,
    written,
    set: (change: { until?: number | null; observed?: string | null; epoch?: number | null }) => {
      if (change.epoch !== undefined) epoch = change.epoch
      if (change.until !== undefined) until = change.until
      if (change.observed !== undefined) observed = change.observed
    },
    async pass(ms: number) {
      t.mock.timers.tick(ms)
      for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
    },
  }
}

test('what was seen is looked at again when it has lasted long enough, and not at the next look', async t => {
  const { asked, set, pass } = makeWatch(t)
  set({ until: 120 })
  await pass(500)
  assert.deepEqual(asked, { signs: 1, fleet: 1, changes: 1 })
  set({ until: null, observed: 'a' })
  await pass(119)
  assert.equal(asked.fleet, 1)
  await pass(1)
  assert.deepEqual(asked, { signs: 2, fleet: 2, changes: 2 })
})

test('reports are looked at soon, many at once, and nobody is asked who listens for them', async t => {
  const { asked, presence, set, pass } = makeWatch(t)
  set({ observed: 'a' })
  for (let report = 0; report < 1000; report++) presence.reported()
  await pass(50)
  assert.deepEqual(asked, { signs: 0, fleet: 1, changes: 1 })
  set({ observed: 'b' })
  presence.reported()
  await pass(50)
  assert.deepEqual(asked, { signs: 0, fleet: 2, changes: 2 })
})

test('what is known is read once by each leader before it looks, and written when it changes', async t => {
  const { restored, written, set, pass } = makeWatch(t)
  await pass(500)
  await pass(500)
  assert.deepEqual([restored, written], [[{ node: 'lb-1' }], [[]]])
  set({ epoch: null, observed: 'a' })
  await pass(500)
  assert.equal(written.length, 1)
  set({ epoch: 2 })
  await pass(500)
  assert.deepEqual([restored.length, written.length], [2, 2])
})
