import assert from 'node:assert/strict'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createLog } from '../../reconciler/log/log.ts'
import { openLastGoodFile } from '../../reconciler/worker/last-good-file.ts'
import { runWatchdog } from '../../reconciler/worker/watchdog.ts'
import { NODE_STATE_VERSION } from '../../schemas/node-state.ts'
import { interfaceRow, settingsRow, tablesOf } from '../plan/rows.ts'
import { until } from '../repo/follow.ts'

async function setUp(t: TestContext, { withdrawAfter = 0, appliedInBoot = 'boot' as string | null } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'ballast-watchdog-'))
  const [lastGoodFile, aliveFile] = [join(dir, 'last-good.json'), join(dir, 'alive')]
  await openLastGoodFile(lastGoodFile).write({
    version: 1,
    want: {
      version: 1,
      node: 'lb-1',
      generation: 1,
      revision: 'a'.repeat(40),
      stateDigest: 'b'.repeat(64),
      drift: 'repair',
      at: 0,
    },
    state: {
      version: NODE_STATE_VERSION,
      node: 'lb-1',
      tables: tablesOf(settingsRow(), interfaceRow('native', 'eth0'), interfaceRow('native', 'eth1')),
    },
    appliedInBoot,
  })
  await writeFile(aliveFile, '')
  const state = { attached: ['eth0', 'eth1'], said: [] as boolean[], fails: false, looks: 0 }
  const ending = new AbortController()
  const running = runWatchdog({
    lastGoodFile,
    aliveFile,
    withdrawAfter,
    readAttached: () => {
      state.looks += 1
      return state.attached
    },
    announce: async on => {
      if (state.fails) throw new Error('the daemon does not answer')
      state.said.push(on)
    },
    bootId: 'boot',
    interval: 5,
    log: createLog({ level: 'silent', format: 'json', destination: process.stderr }),
    now: Date.now,
    signal: ending.signal,
  })
  t.after(async () => {
    ending.abort()
    await running
    await rm(dir, { recursive: true })
  })
  return { state, aliveFile }
}

test('announcements go while an interface has lost the program, and come back with it', async t => {
  const { state } = await setUp(t)
  await until('it announces', () => state.said.length === 1)
  state.attached = ['eth1']
  await until('it withdraws', () => state.said.length === 2)
  state.attached = ['eth0', 'eth1']
  await until('it announces again', () => state.said.length === 3)
  assert.deepEqual(state.said, [true, false, true])
})

test('what a daemon did not take is tried again', async t => {
  const { state } = await setUp(t)
  await until('it announces', () => state.said.length === 1)
  state.fails = true
  state.attached = []
  const { looks } = state
  await until('it looked and tried', () => state.looks > looks + 2)
  state.fails = false
  await until('it withdraws', () => state.said.at(-1) === false)
})

test('a node whose tables were not made yet is let be', async t => {
  const { state } = await setUp(t, { appliedInBoot: null })
  state.attached = []
  await until('it announces', () => state.said.length === 1)
  assert.deepEqual([state.said, state.looks], [[true], 0])
})

test('a silent worker withdraws nothing, unless that is asked for', async t => {
  const patient = await setUp(t)
  const strict = await setUp(t, { withdrawAfter: 60_000 })
  const longAgo = new Date(Date.now() - 120_000)
  for (const { aliveFile } of [patient, strict]) await utimes(aliveFile, longAgo, longAgo)
  await until('the strict one withdraws', () => strict.state.said.at(-1) === false)
  await writeFile(strict.aliveFile, '')
  await until('it announces again', () => strict.state.said.at(-1) === true)
  assert.equal(patient.state.said.includes(false), false)
})
