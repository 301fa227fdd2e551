import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { converge, observeNode } from '../../reconciler/worker/converge.ts'
import type { NodeTables } from '../../schemas/node-state.ts'
import { anyTables, backend, serviceRow, settingsRow, tablesOf } from '../plan/rows.ts'
import { createFakeDriver, type FakeDriver } from './fake-driver.ts'

const never = new AbortController().signal
const run = async (driver: FakeDriver, wanted: NodeTables, signal = never) =>
  converge({ xdp: driver }, wanted, await observeNode({ xdp: driver }), signal)

const old = tablesOf(settingsRow(), serviceRow('203.0.113.1', [backend('10.0.1.1')]))
const next = tablesOf(settingsRow(), serviceRow('203.0.113.2', [backend('10.0.1.1')]))

test('from any observed state it ends in the desired one, and a second time changes nothing (rule 5)', async () => {
  await fc.assert(
    fc.asyncProperty(anyTables, anyTables, async (observed, wanted) => {
      const driver = createFakeDriver()
      driver.rows = structuredClone(observed.xdp)
      assert.equal((await run(driver, wanted)).result, 'applied')
      assert.deepEqual(driver.rows, wanted.xdp)
      const batches = driver.batches.length
      assert.equal((await run(driver, wanted)).result, 'applied')
      assert.equal(driver.batches.length, batches)
    }),
  )
})

test('a service that cannot be made keeps the one it replaces (rule 2)', async () => {
  const driver = createFakeDriver()
  driver.rows = { ...old.xdp }
  driver.fails.add('service/203.0.113.2:80/tcp')
  const done = await run(driver, next)
  assert.equal(done.result, 'failed')
  assert.deepEqual(
    done.failures.map(({ key, code }) => [key, code]),
    [['service/203.0.113.2:80/tcp', 'FAKE_FAULT']],
  )
  assert.ok('service/203.0.113.1:80/tcp' in driver.rows)
})

test('what went through but is not read back is a failure, and nothing is removed after it (rule 2)', async () => {
  const driver = createFakeDriver()
  driver.rows = { ...old.xdp }
  driver.ignores.add('service/203.0.113.2:80/tcp')
  const done = await run(driver, next)
  assert.deepEqual(
    done.failures.map(({ code }) => code),
    ['NOT_READ_BACK'],
  )
  assert.ok('service/203.0.113.1:80/tcp' in driver.rows)
})

test('a newer want stops the work between two phases', async () => {
  const driver = createFakeDriver()
  driver.rows = { ...old.xdp }
  const abort = new AbortController()
  driver.beforeApply = () => abort.abort()
  const done = await run(driver, next, abort.signal)
  assert.equal(done.result, 'superseded')
  assert.equal(driver.batches.length, 1)
})

test('a batch that cannot be tried at all fails every edit of it with the code of the fault', async () => {
  const driver = createFakeDriver()
  driver.beforeApply = () => {
    throw new TypeError('broken pipe')
  }
  const done = await run(driver, old)
  assert.equal(done.result, 'failed')
  assert.deepEqual(
    done.failures.map(({ code }) => code),
    ['INTERNAL', 'INTERNAL'],
  )
})

test('a node without the driver that a state needs refuses it before anything is touched', async () => {
  const done = await converge({}, old, await observeNode({}), never)
  assert.equal(done.result, 'failed')
  assert.deepEqual(new Set(done.failures.map(({ code }) => code)), new Set(['DRIVER_UNAVAILABLE']))
})
