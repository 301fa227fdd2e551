import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { decodeAddressEvents } from '../../../reconciler/drivers/ipvs/address-events.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'

const skip = process.getuid?.() === 0 ? false : 'only root may make network namespaces'
const INSIDE = resolve(import.meta.dirname, 'name-writers.ts')

test('who adds or removes an address is named by its netlink port: the process, or that it has ended', {
  skip,
}, async () => {
  const { stdout } = await runCommand('unshare', ['--net', process.execPath, INSIDE], { timeout: 30_000 })
  const { batch, added, notRemoved, ended, removed, byKernel } = JSON.parse(stdout)
  // Of IPv6 the kernel does not say who.
  assert.deepEqual(added, [`pid ${batch} (ip)`, null])
  assert.equal(notRemoved, null)
  assert.equal(removed, `a process with the netlink port id ${ended}, which has ended`)
  assert.equal(byKernel, null)
})

test('what is no address, or is cut off, is left out', () => {
  const message = Buffer.alloc(32)
  message.writeUInt32LE(32, 0)
  message.writeUInt16LE(21, 4)
  message.writeUInt32LE(4711, 12)
  message.writeUInt16LE(8, 24)
  message.writeUInt16LE(2, 26)
  message.set([203, 0, 113, 7], 28)
  const event = { change: 'removed', address: '203.0.113.7', port: 4711 }
  assert.deepEqual(decodeAddressEvents(message), [event])
  assert.deepEqual(decodeAddressEvents(Buffer.concat([message, message])), [event, event])
  for (let length = 0; length < 32; length++)
    assert.deepEqual(decodeAddressEvents(message.subarray(0, length)), [])
  const other = Buffer.from(message)
  other.writeUInt16LE(16, 4)
  assert.deepEqual(decodeAddressEvents(other), [])
})
