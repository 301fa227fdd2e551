import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { diffNode } from '../../../reconciler/plan/diff.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { emptyTables, type Table, type XdpInterfaceRow, type XdpRow } from '../../../schemas/node-state.ts'
import { converge, editsTo, never } from '../contract.ts'
import { settingsRow, tableOf } from '../xdp-tables.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

suite('steering the packets of an interface', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const [name] = lab.interfaces
  const row = (rps?: string): XdpInterfaceRow => ({
    ...{ kind: 'interface', name, attach: 'native' },
    ...(rps !== undefined && { rps }),
  })
  const FILE = `/sys/class/net/${name}/queues/rx-0/rps_cpus`
  /** As somebody would by hand: with a /sys of this network namespace. */
  const byHand = async (command: string): Promise<number> =>
    Number.parseInt(
      (await runCommand('unshare', ['-m', 'sh', '-c', `mount -t sysfs none /sys && ${command}`])).stdout,
      16,
    )
  const readMask = () => byHand(`cat ${FILE}`)
  const differs = (wanted: XdpInterfaceRow, rows: Table<XdpRow>): boolean =>
    diffNode({ ...emptyTables(), xdp: tableOf(settingsRow(), wanted) }, { ...emptyTables(), xdp: rows }).xdp
      .length > 0

  test('is what the row says, and is read back', async () => {
    const driver = lab.open()
    const rows = await converge(driver, tableOf(settingsRow(), row('0')))
    assert.deepEqual(rows[`interface/${name}`], row('0'))
    assert.equal(await readMask(), 1)
  })

  test('by somebody else is seen and put right', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow(), row('0')))
    await byHand(`echo 0 > ${FILE}; cat ${FILE}`)
    const { rows } = await driver.observe()
    assert.deepEqual(rows[`interface/${name}`], row())
    assert.ok(differs(row('0'), rows))
    await driver.apply(editsTo(tableOf(settingsRow(), row('0')), rows), never)
    assert.equal(await readMask(), 1)
  })

  test('is left as it is by a row that does not say how, and ended by none', async () => {
    const driver = lab.open()
    const rows = await converge(driver, tableOf(settingsRow(), row('0')))
    assert.ok(!differs(row(), rows))
    assert.ok(differs(row('none'), rows))
    await driver.apply(editsTo(tableOf(settingsRow(), row('none')), rows), never)
    assert.equal(await readMask(), 0)
    assert.ok(!differs(row('none'), (await driver.observe()).rows))
  })

  test('to a CPU that there is not is refused, with what to do', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow(), row('0')))
    const wanted = tableOf(settingsRow(), row('0,4000'))
    const [outcome] = await driver.apply(editsTo(wanted, (await driver.observe()).rows), never)
    assert.ok(outcome?.result === 'failed')
    assert.equal(outcome.code, 'XDP_NO_CPU')
    assert.match(outcome.message, /0,4000/)
    assert.equal(await readMask(), 1)
  })
})
