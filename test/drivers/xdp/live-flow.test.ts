import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { readLiveFlow } from '../../../reconciler/drivers/xdp/live-flow.ts'
import { explainFlow } from '../../../reconciler/ring/explain-flow.ts'
import { fleetKeyFromName, splitFleetKey } from '../../../reconciler/ring/flow-hash.ts'
import { Tcp } from '../../bpf/packet.ts'
import { converge } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { sendThrough } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const NODE = 'lb-1.example'

suite('what a node says of a flow', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const tuple = (sourcePort: number) =>
    ({ source: '198.51.100.7', sourcePort, vip: '203.0.113.1', port: 80, protocol: 'tcp' }) as const
  const web = (...backends: string[]) => serviceRow({ backends: backendsOf(...backends), hashBy: 'source' })
  const look = async (sourcePort: number) => {
    const live = await readLiveFlow({ bpffs: lab.bpffs, node: NODE }, tuple(sourcePort))
    assert.ok(live !== null)
    return live
  }

  test('nothing, where no program is loaded', async () => {
    assert.equal(await readLiveFlow({ bpffs: lab.bpffs, node: 'another' }, tuple(1)), null)
  })

  test('is the same from its kernel as from what was wanted of it, and what a packet then does', async () => {
    const wanted = tableOf(settingsRow(), web('10.0.0.1', '10.0.0.2', '10.0.0.3'))
    await converge(lab.open(), wanted)
    const offline = splitFleetKey(fleetKeyFromName('test'))
    for (let port = 1; port <= 20; port++) {
      const { rows, fleetKey, entry } = await look(port)
      const explanation = explainFlow(rows, fleetKey, tuple(port))
      assert.equal(entry, null)
      assert.deepEqual(explanation, explainFlow(wanted, offline, tuple(port)))
      assert.equal(explanation.reason, 'forwarded_ring')
      assert.equal(sendThrough(lab.pins(), { ...tuple(port), tcpFlags: Tcp.syn }), explanation.backend)
    }
  })

  test('names the backend that an established flow keeps, and when it has none any more', async () => {
    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.1')))
    sendThrough(lab.pins(), tuple(77))
    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.1=0', '10.0.0.2')))
    const kept = await look(77)
    assert.equal(explainFlow(kept.rows, kept.fleetKey, tuple(77)).backend, '10.0.0.2')
    assert.deepEqual([kept.entry?.state, kept.entry?.backend], ['confirmed', '10.0.0.1'])
    assert.equal(sendThrough(lab.pins(), tuple(77)), '10.0.0.1')
    assert.equal((await look(78)).entry, null)

    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.2')))
    assert.equal((await look(77)).entry?.backend, null)
    assert.equal(sendThrough(lab.pins(), tuple(77)), '10.0.0.2')
    assert.equal((await look(77)).entry?.backend, '10.0.0.2')

    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.2=0', '10.0.0.3')))
    sendThrough(lab.pins(), { ...tuple(77), tcpFlags: Tcp.syn })
    const again = await look(77)
    assert.deepEqual(
      [again.entry?.state, again.entry?.backend],
      ['syn', '10.0.0.3'],
      'its port is used again',
    )
    assert.equal(sendThrough(lab.pins(), tuple(77)), '10.0.0.3')
    assert.equal((await look(77)).entry?.state, 'confirmed')
  })
})
