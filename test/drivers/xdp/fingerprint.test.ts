import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { fingerprintXdp } from '../../../reconciler/drivers/xdp/fingerprint.ts'
import { createRingStore } from '../../../reconciler/drivers/xdp/ring-store.ts'
import { createRingCache } from '../../../reconciler/ring/ring-cache.ts'
import { converge } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

suite('the fingerprint of the tables', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()

  test('lets others have a turn for each ring that was not seen before, and looks at none again', async () => {
    const services = [1, 2, 3, 4, 5].map(port => serviceRow({ port, backends: backendsOf('10.0.0.1') }))
    await converge(lab.open(), tableOf(settingsRow(), ...services))
    let turns = 0
    const context = {
      pins: lab.pins(),
      store: createRingStore(createRingCache(1)),
      readObject: () => 0,
      breathe: async () => void turns++,
    }
    const first = await fingerprintXdp(context)
    assert.equal(turns, 1 + services.length)
    assert.equal(await fingerprintXdp(context), first)
    assert.equal(turns, 1 + services.length + 1)
  })
})
