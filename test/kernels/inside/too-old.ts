import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { createXdpDriver } from '../../../reconciler/drivers/xdp/driver.ts'
import { converge, observeNode } from '../../../reconciler/worker/converge.ts'
import { emptyTables } from '../../../schemas/node-state.ts'
import { objectFile } from '../../bpf/balancer.ts'
import { settingsRow, tableOf } from '../../drivers/xdp-tables.ts'

suite(`Linux ${release()}`, () => {
  test('a worker says that the kernel is too old, and touches nothing', async () => {
    const bpffs = mkdtempSync(join(tmpdir(), 'bpf-'))
    const driver = createXdpDriver({ node: 'lb-1', bpffs, objectFile: objectFile('lb') })
    const reason = `Linux ${release()} is too old: the XDP driver needs 5.15 or newer.`
    assert.deepEqual(await driver.capabilities(), { available: false, reason })
    const wanted = { ...emptyTables(), xdp: tableOf(settingsRow()) }
    const seen = await observeNode({ xdp: driver })
    const { result, failures } = await converge({ xdp: driver }, wanted, seen, new AbortController().signal)
    assert.equal(result, 'failed')
    assert.deepEqual(
      failures.map(({ code, message }) => [code, message]),
      [['DRIVER_UNAVAILABLE', reason]],
    )
  })
})
