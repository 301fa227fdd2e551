import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { IpvsRow, IpvsServiceRow, Table } from '../../../../schemas/node-state.ts'
import { assertReached, converge, editsTo, never } from '../../contract.ts'
import { backend, keyOfRow, service, sysctl, tableOf, vip } from '../tables.ts'
import { OWNED_FILE, open, run, withCleanKernel } from './lab.ts'
import { RESTLESS } from './restless-tables.ts'

const reach = (table: Table<IpvsRow>) => converge<'ipvs'>(open(), table)

const onPort = (port: number, fields: Partial<IpvsServiceRow> = {}): IpvsServiceRow =>
  service({
    match: { by: 'address', vip: '203.0.113.1', port, protocol: 'tcp' },
    backends: [backend({ address: '10.0.0.1', port })],
    ...fields,
  })

/** By key: the code of what failed, or `applied`. */
async function apply(table: Table<IpvsRow>): Promise<Record<string, string>> {
  const driver = open()
  const { rows } = await driver.observe()
  const outcomes = await driver.apply(editsTo<'ipvs'>(table, rows, 'ipvs'), never)
  return Object.fromEntries(
    outcomes.map(outcome => [outcome.key, outcome.result === 'failed' ? outcome.code : outcome.result]),
  )
}

suite('faults', () => {
  withCleanKernel()

  test('a line that the kernel refuses, or ipvsadm itself, fails its edit and no other', async () => {
    const rows = [
      onPort(1),
      // The kernel has no such scheduler.
      onPort(2, { scheduler: 'nosuch', schedulerFlags: { port: false, fallback: false } }),
      onPort(3),
      // ipvsadm ends here: one-packet scheduling is for UDP.
      onPort(4, { onePacket: true }),
      onPort(5),
    ]
    assert.deepEqual(await apply(tableOf(vip('203.0.113.1'), ...rows)), {
      'vip/203.0.113.1': 'applied',
      [keyOfRow(rows[0]!)]: 'applied',
      [keyOfRow(rows[1]!)]: 'IPVS_NOT_APPLIED',
      [keyOfRow(rows[2]!)]: 'applied',
      [keyOfRow(rows[3]!)]: 'IPVS_NOT_APPLIED',
      [keyOfRow(rows[4]!)]: 'applied',
    })
    const good = tableOf(vip('203.0.113.1'), rows[0]!, rows[2]!, rows[4]!)
    assert.deepEqual((await open().observe()).rows, good)
    assert.deepEqual(await reach({}), {})
  })

  test('an interface and a sysctl that are not there fail their edits', async () => {
    const table = tableOf(vip('203.0.113.1', 'nope'), sysctl('net.ipv4.vs.nope', '1'), onPort(1))
    assert.deepEqual(await apply(table), {
      'vip/203.0.113.1': 'VIP_ADDRESS_NOT_SET',
      'sysctl/net.ipv4.vs.nope': 'SYSCTL_ABSENT',
      'service/203.0.113.1:1/tcp': 'applied',
    })
    assert.deepEqual(await reach({}), {})
  })

  test('a process killed in the middle of an apply leaves what the next one makes whole (rule 5)', async t => {
    let between = 0
    for (const afterMs of [150, 500]) {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'restless.ts')], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const gone = once(child, 'exit')
      await once(child.stdout, 'data')
      await setTimeout(afterMs)
      assert.equal(child.exitCode, null, 'it ended by itself')
      child.kill('SIGKILL')
      await gone
      const { rows } = await open().observe()
      if (RESTLESS.every(table => editsTo<'ipvs'>(table, rows, 'ipvs').length > 0)) between++
      assertReached<'ipvs'>(RESTLESS[0]!, await reach(RESTLESS[0]!), 'ipvs')
    }
    t.diagnostic(`${between} of 2 were killed between two tables`)
    assert.deepEqual(await reach({}), {})
    assert.equal(await run('ipvsadm', '-S', '-n'), '')
    assert.equal(existsSync(OWNED_FILE), false)
  })
})
