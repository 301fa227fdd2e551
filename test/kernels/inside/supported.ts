import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { attachDecap, readDecap } from '../../../reconciler/drivers/xdp/decap/decap.ts'
import { createXdpDriver } from '../../../reconciler/drivers/xdp/driver.ts'
import { findMissingFeature } from '../../../reconciler/drivers/xdp/libbpf/features.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { objectFile, openBalancer } from '../../bpf/balancer.ts'
import { encapsulatedTo } from '../../bpf/expected.ts'
import { FORWARDED, REFUSED, SERVICES } from '../../bpf/fixtures.ts'
import { buildFrame } from '../../bpf/packet.ts'
import { assertReached, converge } from '../../drivers/contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../../drivers/xdp-tables.ts'

/** What the XDP dataplane asks of a kernel, tried on the one that this runs in. Loading takes an emulated processor long. */

const WIRES = ['wire0', 'wire1'] as const

suite(`Linux ${release()}`, () => {
  test('it has what the XDP driver needs', () => assert.equal(findMissingFeature(), ''))

  test('the balancer is loaded, and packets come out byte for byte as everywhere', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    for (const { what, packet, to, trailer = 0, settings } of FORWARDED) {
      if (settings !== undefined) continue
      const frame = Buffer.concat([buildFrame(packet), Buffer.alloc(trailer)])
      const sent = balancer.send(frame)
      assert.equal(sent.action, 'tx', what)
      assert.equal(sent.frame.toString('hex'), encapsulatedTo(to, frame, packet).toString('hex'), what)
    }
    for (const { what, frame, action, settings } of REFUSED) {
      if (settings !== undefined) continue
      const sent = balancer.send(frame)
      assert.deepEqual([sent.action, sent.frame.toString('hex')], [action, frame.toString('hex')], what)
    }
  })

  test('the driver attaches it natively, changes settings under it, and takes it away; backends decapsulate', async () => {
    await runCommand('ip', ['link', 'add', WIRES[0], 'type', 'veth', 'peer', 'name', WIRES[1]])
    for (const wire of WIRES) await runCommand('ip', ['link', 'set', wire, 'up'])
    const bpffs = join(mkdtempSync(join(tmpdir(), 'bpf-')), 'fs')
    const open = () => createXdpDriver({ node: 'lb-1', bpffs, objectFile: objectFile('lb') })
    assert.deepEqual(await open().capabilities(), { available: true, reason: '' })
    const rows = [
      ...WIRES.map(name => ({ kind: 'interface', name, attach: 'native' }) as const),
      serviceRow({ backends: backendsOf('10.0.0.1=3', '10.0.0.2') }),
    ]
    for (const settings of [settingsRow(), settingsRow({ mtu: 9000, egress: 'fib' })]) {
      const table = tableOf(settings, ...rows)
      assertReached(table, await converge(open(), table))
    }
    assert.deepEqual(await converge(open(), {}), {})

    const settings = { vips: ['203.0.113.0/24'], allowed: ['10.64.0.0/16'], guePort: 6080 }
    await attachDecap(objectFile('decap'), { bpffs, interface: WIRES[1] }, settings)
    const [decap] = await readDecap(bpffs)
    assert.deepEqual([decap?.interface, decap?.mode], [WIRES[1], 'native'])
  })
})
