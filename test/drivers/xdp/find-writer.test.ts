import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { suite, test } from 'node:test'
import { findWriter } from '../../../reconciler/drivers/xdp/find-writer.ts'
import { startProgram } from '../../../reconciler/process/run-command.ts'
import { objectFile } from '../../bpf/balancer.ts'
import { assertReached, converge } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { bpftool } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const HOLD = resolve(import.meta.dirname, 'hold-pins.ts')

suite('who else writes to the maps of a node', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const place = { bpffs: lab.bpffs, node: 'lb-1.example' }
  const row = serviceRow({ backends: backendsOf('10.0.0.1') })

  async function whileHeld(pins: readonly string[], work: (pid: number) => Promise<void>): Promise<void> {
    const program = await startProgram(process.execPath, [HOLD, ...pins], { stdout: 'pipe' })
    try {
      await once(program.stdout!, 'data')
      await work(program.pid)
    } finally {
      await program.stop()
    }
  }

  test('a process that holds a map of the node is named, and nobody when none does', async () => {
    const wanted = tableOf(settingsRow(), row)
    assertReached(wanted, await converge(lab.open(), wanted))
    const item = { driver: 'xdp', observed: row } as const
    assert.equal(await findWriter(place, item), null)
    await whileHeld([lab.pins().map('services')], async pid =>
      assert.match((await findWriter(place, item)) ?? '', new RegExp(`^pid ${pid} \\(`)),
    )
    assert.equal(await findWriter(place, { driver: 'bgp', observed: null }), null)
  })

  test('another program on an interface is named, with who holds it', async () => {
    const pin = join(lab.bpffs, 'by-hand')
    await bpftool('prog', 'load', objectFile('pass'), pin)
    const { stdout } = await bpftool('-j', 'prog', 'show', 'pinned', pin)
    const program = `pass (id ${(JSON.parse(stdout) as { id: number }).id})`
    const observed = { kind: 'interface', name: 'wire0', attach: 'native', program } as const
    const item = { driver: 'xdp', observed } as const
    assert.equal(await findWriter(place, item), `the program ${program}`)
    await whileHeld([pin], async pid =>
      assert.match((await findWriter(place, item)) ?? '', new RegExp(`^pid ${pid} .* with the program pass`)),
    )
  })
})
