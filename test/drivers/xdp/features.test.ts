import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { encodeIndex, LAYOUT_VERSION, structs } from '../../../reconciler/drivers/xdp/layout.ts'
import { readMapInfo } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import { readEntries, updateEntry } from '../../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import type { Access, RowBackend, XdpRow } from '../../../schemas/node-state.ts'
import { Tcp } from '../../bpf/packet.ts'
import { assertApplied, assertReached, converge, editsTo, never } from '../contract.ts'
import { backendsOf, keyOfRow, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { bpftool, readEntry, sendThrough } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const flow = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.1',
  port: 8500,
  protocol: 'tcp' as const,
  tcpFlags: Tcp.syn,
}

const access = (allow: readonly string[]): Access => ({ otherwise: 'deny', allow: [...allow], deny: [] })

const withIds = (ids: Readonly<Record<string, string>>): RowBackend[] =>
  backendsOf(...Object.keys(ids)).map(backend => ({ ...backend, serverId: ids[backend.address]! }))

/** A packet with a short header; the configuration of the ids is 2. */
const quicTo = (serverId: string) => ({
  ...flow,
  port: 443,
  protocol: 'udp' as const,
  payload: Buffer.from(`40${'4f'}${serverId}${'ee'.repeat(20)}`, 'hex'),
})

suite('what services of the XDP driver have beside backends', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const pins = lab.pins()
  const ranged = serviceRow({ port: 8000, endPort: 8999, backends: backendsOf('10.0.0.1') })
  const all = serviceRow({ port: 1, endPort: 65535, backends: backendsOf('10.0.0.2') })
  const one = serviceRow({ port: 8443, backends: backendsOf('10.0.0.3') })
  const quic = serviceRow({
    port: 443,
    protocol: 'udp',
    quic: { configId: 2 },
    backends: withIds({ '10.0.0.1': '0a01', '10.0.0.2': '0a02', '10.0.0.3': '0a03' }),
  })

  const reach = async (...rows: readonly XdpRow[]): Promise<void> => {
    const wanted = tableOf(settingsRow(), ...rows)
    assertReached(wanted, await converge(lab.open(), wanted))
  }
  async function countEntries(map: string): Promise<number> {
    using pin = openPin(pins.map(map))
    return (await readEntries(pin!.fd, readMapInfo(pin!.fd))).count
  }
  const to = (port: number) => sendThrough(pins, { ...flow, port })

  test('ranges come and go one by one, and the narrowest has a port', async () => {
    await reach(ranged)
    assert.deepEqual([to(8443), to(9000)], ['10.0.0.1', undefined])
    await reach(ranged, all, one)
    assert.deepEqual([to(8443), to(8500), to(9000)], ['10.0.0.3', '10.0.0.1', '10.0.0.2'])
    assert.equal(await countEntries('port_ranges'), 1)
    await reach(all, one)
    assert.deepEqual([to(8443), to(8500)], ['10.0.0.3', '10.0.0.2'])
    await reach(one)
    assert.deepEqual([to(8443), to(8500)], ['10.0.0.3', undefined])
    assert.equal(await countEntries('port_ranges'), 0)
  })

  test('a range that is made before the old one goes takes its packets only then (rule 2)', async () => {
    const wider = { ...ranged, endPort: 9999, backends: backendsOf('10.0.0.2') }
    await reach(ranged)
    const driver = lab.open()
    const before = (await driver.observe()).rows
    const edits = editsTo(tableOf(settingsRow(), wider), before)
    assertApplied(
      await driver.apply(
        edits.filter(({ op }) => op === 'create'),
        never,
      ),
    )
    assert.deepEqual([to(8500), to(9500)], ['10.0.0.1', '10.0.0.2'])
    assertApplied(
      await driver.apply(
        edits.filter(({ op }) => op === 'delete'),
        never,
      ),
    )
    assert.equal(to(8500), '10.0.0.2')
  })

  test('services with one access list share it, and what nobody has goes', async () => {
    const list = access(['10.0.0.0/8', '198.51.100.0/24', '2001:db8::/32'])
    await reach({ ...ranged, access: list }, { ...one, access: list })
    assert.equal(await countEntries('access_prefixes'), 3)
    await reach({ ...ranged, access: list }, { ...one, access: access(['10.0.0.0/8']) })
    assert.equal(await countEntries('access_prefixes'), 4)
    assert.deepEqual([to(8500), to(8443)], ['10.0.0.1', undefined])
    await reach({ ...ranged, access: access(['10.0.0.0/8']) }, one)
    assert.equal(await countEntries('access_prefixes'), 1)
    assert.deepEqual([to(8500), to(8443)], [undefined, '10.0.0.3'])
    await reach(ranged, one)
    assert.equal(await countEntries('access_prefixes'), 0)
  })

  test('server ids follow their backends, and may change places', async () => {
    await reach(quic)
    const backendsNow = () => ['0a01', '0a02', '0a03'].map(id => sendThrough(pins, quicTo(id)))
    assert.deepEqual(backendsNow(), ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
    await reach({
      ...quic,
      backends: withIds({ '10.0.0.1': '0a02', '10.0.0.2': '0a01', '10.0.0.10': '0a03' }),
    })
    assert.deepEqual(backendsNow(), ['10.0.0.2', '10.0.0.1', '10.0.0.10'])
    assert.equal(await countEntries('quic_servers'), 3)
    await reach({ ...quic, backends: withIds({ '10.0.0.1': '0a000b' }) })
    assert.equal(sendThrough(pins, quicTo('0a000b')), '10.0.0.1')
    assert.equal(await countEntries('quic_servers'), 1)
  })

  test('all of it stays when the maps are replaced by larger ones, and when another process looks', async () => {
    const rows = [{ ...ranged, access: access(['198.51.100.0/24']) }, quic, all]
    await reach(...rows)
    const larger = settingsRow({ capacity: { flows: 1000, services: 40, members: 200 } })
    const wanted = tableOf(larger, ...rows)
    assertReached(wanted, await converge(lab.open(), wanted))
    assert.deepEqual([to(8500), to(9000)], ['10.0.0.1', '10.0.0.2'])
    assert.equal(sendThrough(pins, { ...flow, source: '192.0.2.1' }), undefined)
    assert.equal(sendThrough(pins, quicTo('0a03')), '10.0.0.3')
  })

  test('maps of another layout are refused, and what is there goes on forwarding', async () => {
    await reach(one)
    using control = openPin(pins.map('control'))
    const present = readEntry(pins.map('control'), encodeIndex(0), structs.control.size)
    const other = Buffer.from(present)
    other.writeUInt32LE(LAYOUT_VERSION - 1, structs.control.fields.layout_version)
    updateEntry(control!.fd, encodeIndex(0), other)
    for (const act of [
      () => lab.open().observe(),
      () => lab.open().fingerprint(),
      () => lab.open().readCounters(),
    ])
      await assert.rejects(act, { code: 'XDP_OTHER_LAYOUT' })
    const row = settingsRow({ mtu: 9000 })
    const [outcome] = await lab.open().apply(editsTo(tableOf(row), {}), never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'XDP_OTHER_LAYOUT')
    assert.equal(to(8443), '10.0.0.3')
    updateEntry(control!.fd, encodeIndex(0), present)
    await reach(one)
  })

  /** By hand, and what the driver says then. */
  const DAMAGE = [
    ['port_ranges', `create ${keyOfRow(ranged)}`],
    ['access_prefixes', `update ${keyOfRow(ranged)}`],
    ['quic_servers', `update ${keyOfRow(quic)}`],
  ] as const
  for (const [map, edit] of DAMAGE) {
    test(`an entry deleted from ${map} by hand is seen and mended`, async () => {
      const rows = [{ ...ranged, access: access(['10.0.0.0/8', '198.51.100.0/24']) }, quic]
      await reach(...rows)
      const driver = lab.open()
      const fingerprint = await driver.fingerprint()
      await driver.observe()
      using pin = openPin(pins.map(map))
      const { keys } = await readEntries(pin!.fd, readMapInfo(pin!.fd))
      await bpftool(
        'map',
        'delete',
        'pinned',
        pins.map(map),
        'key',
        keys.subarray(0, readMapInfo(pin!.fd).keySize),
      )
      assert.notEqual(await driver.fingerprint(), fingerprint)
      const wanted = tableOf(settingsRow(), ...rows)
      const edits = editsTo(wanted, (await driver.observe()).rows)
      assert.deepEqual(
        edits.map(({ op, key }) => `${op} ${key}`),
        [edit],
      )
      assertReached(wanted, await converge(driver, wanted))
      assert.equal(to(8500), '10.0.0.1')
      assert.equal(sendThrough(pins, quicTo('0a02')), '10.0.0.2')
    })
  }
})
