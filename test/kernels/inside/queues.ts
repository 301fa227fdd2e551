import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { createXdpDriver } from '../../../reconciler/drivers/xdp/driver.ts'
import { readChannels, writeChannels } from '../../../reconciler/drivers/xdp/receive-cpus/channels.ts'
import { findInterrupts, readInterrupt } from '../../../reconciler/drivers/xdp/receive-cpus/interrupts.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import type { XdpInterfaceRow } from '../../../schemas/node-state.ts'
import { objectFile } from '../../bpf/balancer.ts'
import { converge, editsTo, never } from '../../drivers/contract.ts'
import { settingsRow, tableOf } from '../../drivers/xdp-tables.ts'

/** Channels and interrupts of a card, of two CPUs: virtio, with four queue pairs, of which XDP takes one for each CPU. */

const NAME = 'eth0'
const bpffs = join(mkdtempSync(join(tmpdir(), 'bpf-')), 'fs')
const open = () => createXdpDriver({ node: 'lb-1', bpffs, objectFile: objectFile('lb') })
const row = (fields: Partial<XdpInterfaceRow> = {}): XdpInterfaceRow => ({
  ...{ kind: 'interface', name: NAME, attach: 'native' },
  ...fields,
})
const tablesOf = (wanted: XdpInterfaceRow) => tableOf(settingsRow(), wanted)
const seen = async () => (await open().observe()).rows[`interface/${NAME}`]
const ethtool = async (...args: string[]) => (await runCommand('ethtool', args)).stdout

/** The CPUs of the interrupts of each queue in use, by what the kernel shows. */
const affinities = (): string[] =>
  findInterrupts(NAME)
    .slice(0, readChannels(NAME).combined)
    .map(irqs => [...new Set(irqs.map(readInterrupt))].join())
const byHand = (irq: number, cpus: string) => writeFileSync(`/proc/irq/${irq}/smp_affinity_list`, cpus)
const steering = () =>
  readdirSync(`/sys/class/net/${NAME}/queues`)
    .filter(queue => queue.startsWith('rx-'))
    .map(queue =>
      Number.parseInt(readFileSync(`/sys/class/net/${NAME}/queues/${queue}/rps_cpus`, 'utf8'), 16),
    )

suite('which CPUs take the packets of a card with several queues', async () => {
  await runCommand('ip', ['link', 'set', NAME, 'up'])

  test('its queues are found with their interrupts, two each, and its channels as ethtool has them', async () => {
    assert.deepEqual(
      findInterrupts(NAME).map(irqs => irqs.length),
      [2, 2, 2, 2],
    )
    writeChannels(NAME, 1)
    assert.match(await ethtool('-l', NAME), /Current hardware settings:[\s\S]*Combined:\s+1\n/)
    assert.deepEqual(readChannels(NAME), { combined: 1, most: 4 })
  })

  test('the card gets as many channels as CPUs, and all queues interrupt these, those too that come with the program', async () => {
    const wanted = row({ cpus: '0-1' })
    const rows = await converge(open(), tablesOf(wanted))
    assert.deepEqual(rows[`interface/${NAME}`], wanted)
    assert.deepEqual(affinities(), ['0', '1', '0', '1'])
    // With a program this driver has its channels changed no more, by nobody.
    await assert.rejects(ethtool('-L', NAME, 'combined', '1'))
  })

  test('interrupts that somebody else moved are seen and put right', async () => {
    const wanted = tablesOf(row({ cpus: '0-1' }))
    const driver = open()
    const [first, second] = findInterrupts(NAME)
    for (const { change, found } of [
      { change: () => byHand(second![0]!, '0'), found: 'uneven' },
      { change: () => [...first!, ...second!].map(irq => byHand(irq, '1')), found: 'uneven' },
      {
        change: () =>
          findInterrupts(NAME)
            .flat()
            .map(irq => byHand(irq, '1')),
        found: '1',
      },
    ]) {
      change()
      const { rows } = await driver.observe()
      assert.deepEqual(rows[`interface/${NAME}`], row({ cpus: found }))
      await driver.apply(editsTo(wanted, rows), never)
      assert.deepEqual(await seen(), row({ cpus: '0-1' }))
      assert.deepEqual(affinities(), ['0', '1', '0', '1'])
    }
  })

  test('steering is of all queues, and is seen and put right as well', async () => {
    const wanted = row({ cpus: '0', rps: '1' })
    await converge(open(), tablesOf(wanted))
    assert.deepEqual([await seen(), new Set(affinities())], [wanted, new Set(['0'])])
    assert.deepEqual(new Set(steering()), new Set([2]))
    writeFileSync(`/sys/class/net/${NAME}/queues/rx-1/rps_cpus`, '1')
    const driver = open()
    const { rows } = await driver.observe()
    assert.deepEqual(rows[`interface/${NAME}`], { ...wanted, rps: 'uneven' })
    await driver.apply(editsTo(tablesOf(wanted), rows), never)
    assert.deepEqual(new Set(steering()), new Set([2]))
  })

  test('without a row that asks for it, all is as it was', async () => {
    await converge(open(), tableOf(settingsRow()))
    assert.deepEqual(readChannels(NAME), { combined: 1, most: 4 })
    for (const irq of findInterrupts(NAME)[0]!) assert.equal(readInterrupt(irq), '0-1')
    // And once more from there, by another process.
    const again = tablesOf(row({ cpus: '1', rps: 'none' }))
    assert.deepEqual((await converge(open(), again))[`interface/${NAME}`], row({ cpus: '1' }))
    assert.deepEqual(new Set(affinities()), new Set(['1']))
    await converge(open(), {})
  })
})
