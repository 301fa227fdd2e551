import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { suite, test } from 'node:test'
import { encodeIndex, encodeRing, encodeServiceKey, structs } from '../../../reconciler/drivers/xdp/layout.ts'
import { openMapById } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import { attachXdp, queryXdp, updateLink } from '../../../reconciler/drivers/xdp/libbpf/links.ts'
import { createMap, MapFlag, MapType, updateEntry } from '../../../reconciler/drivers/xdp/libbpf/maps.ts'
import { openObject } from '../../../reconciler/drivers/xdp/libbpf/object.ts'
import { openPin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import { interfaceIndex } from '../../../reconciler/drivers/xdp/libc.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { addressToBytes } from '../../../schemas/address.ts'
import type { XdpInterfaceRow, XdpRow, XdpServiceRow } from '../../../schemas/node-state.ts'
import { objectFile } from '../../bpf/balancer.ts'
import { until } from '../../repo/follow.ts'
import { assertReached, converge, editsTo, never } from '../contract.ts'
import { backendsOf, keyOfRow, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { bpftool, findService, programIdOf } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

suite('what somebody does by hand to the maps of the XDP driver', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const pins = lab.pins()
  const web = serviceRow({ backends: backendsOf('10.0.0.1', '10.0.0.2=2') })
  const dns = serviceRow({ port: 53, protocol: 'udp', backends: backendsOf('10.0.0.1') })
  const other = serviceRow({ vip: '2001:db8:f::1', backends: backendsOf('2001:db8::1') })
  const wires = lab.interfaces.map((name): XdpInterfaceRow => ({ kind: 'interface', name, attach: 'native' }))
  const wanted = tableOf(settingsRow(), web, dns, other, ...wires)

  /** What the driver sees after `damage`, less what it wants; then it is mended, and nothing is left. */
  async function differencesAfter(damage: () => Promise<unknown>): Promise<string[]> {
    const driver = lab.open()
    assertReached(wanted, await converge(driver, wanted))
    const fingerprint = await driver.fingerprint()
    await damage()
    assert.notEqual(await driver.fingerprint(), fingerprint, 'the fingerprint does not show it')
    const seen = await driver.observe()
    const fresh = await lab.open().observe()
    assert.deepEqual(fresh.rows, seen.rows, 'a process that remembers sees something else')
    const edits = editsTo(wanted, seen.rows)
    assertReached(wanted, await converge(driver, wanted))
    const { facts } = await driver.observe()
    assert.deepEqual(facts.orphans, { services: 0, vips: 0, rings: 0 })
    return edits.map(edit => `${edit.op} ${edit.key}`).sort()
  }

  const observed = async (row: XdpServiceRow) =>
    (await lab.open().observe()).rows[keyOfRow(row)] as XdpServiceRow

  const deleteEntry = (map: string, key: Uint8Array) =>
    bpftool('map', 'delete', 'pinned', pins.map(map), 'key', key)
  const idOf = (row: XdpServiceRow) => encodeIndex(findService(pins, row).id)

  /** Puts a ring with some slots changed in the place of a service's, frozen or not. */
  async function swapRing(row: XdpServiceRow, slots: number): Promise<void> {
    const { id, ring } = findService(pins, row)
    const indexes = [...ring.members.keys()]
    for (let slot = 0; slot < slots; slot++) {
      ring.slots[slot] = indexes[(ring.slots[slot]! + 1) % indexes.length]!
    }
    using map = createMap({
      type: MapType.array,
      name: 'by_hand',
      keySize: 4,
      valueSize: structs.ring.size,
      maxEntries: 1,
      flags: MapFlag.mmapable,
    })
    updateEntry(map.fd, encodeIndex(0), encodeRing(ring))
    using rings = openPin(pins.map('rings'))
    updateEntry(rings!.fd, encodeIndex(id), encodeIndex(map.fd))
  }

  test('a service deleted from the map is missing', async () => {
    const found = await differencesAfter(() => deleteEntry('services', encodeServiceKey(web)))
    assert.deepEqual(found, [`create ${keyOfRow(web)}`])
  })

  test('a VIP deleted from the map leaves its services incomplete', async () => {
    const found = await differencesAfter(async () => {
      await deleteEntry('vips', addressToBytes(web.vip))
      assert.equal((await observed(web)).ring.slots, 0)
    })
    assert.deepEqual(found, [`update ${keyOfRow(dns)}`, `update ${keyOfRow(web)}`])
  })

  test('a VIP deleted from the map is not put back in silence by a change of another service', async () => {
    const found = await differencesAfter(async () => {
      await deleteEntry('vips', addressToBytes(web.vip))
      const edit = { op: 'update', key: keyOfRow(other), before: other, after: other } as const
      assert.deepEqual(await lab.open().apply([edit], never), [{ result: 'applied', key: edit.key }])
    })
    assert.deepEqual(found, [`update ${keyOfRow(dns)}`, `update ${keyOfRow(web)}`])
  })

  test('a ring deleted from the map leaves a service without backends', async () => {
    const found = await differencesAfter(async () => {
      await deleteEntry('rings', idOf(web))
      const { ring, backends } = await observed(web)
      assert.deepEqual([ring, backends], [{ slots: 0, differing: 0 }, []])
    })
    assert.deepEqual(found, [`update ${keyOfRow(web)}`])
  })

  test('slots that differ from Maglev are counted, and so are those changed later in the same map', async () => {
    const found = await differencesAfter(async () => {
      await swapRing(web, 100)
      assert.equal((await observed(web)).ring.differing, 100)
      const driver = lab.open()
      const fingerprint = await driver.fingerprint()
      const { ring, mapId } = findService(pins, web)
      ring.slots[500] = 1 - ring.slots[500]!
      using map = openMapById(mapId)
      updateEntry(map!.fd, encodeIndex(0), encodeRing(ring))
      assert.notEqual(await driver.fingerprint(), fingerprint)
      assert.equal((await observed(web)).ring.differing, 101)
    })
    assert.deepEqual(found, [`update ${keyOfRow(web)}`])
  })

  test('a ring of another service in the place of the own is no ring', async () => {
    const found = await differencesAfter(async () => {
      const id = findService(pins, web).id
      const { mapId } = findService(pins, dns)
      await bpftool(
        ...['map', 'update', 'pinned', pins.map('rings'), 'key'],
        encodeIndex(id),
        ...['value', 'id', String(mapId)],
      )
    })
    assert.deepEqual(found, [`update ${keyOfRow(web)}`])
  })

  test('two services with one ring are told apart by whose it is', async () => {
    const found = await differencesAfter(() =>
      bpftool(
        ...['map', 'update', 'pinned', pins.map('services'), 'key'],
        encodeServiceKey(web),
        'value',
        idOf(dns),
      ),
    )
    assert.deepEqual(found, [`update ${keyOfRow(web)}`])
  })

  test('a service that nobody asked for is unexpected, also without a ring', async () => {
    const stranger = { ...web, port: 8443 }
    const found = await differencesAfter(() =>
      bpftool(
        ...['map', 'update', 'pinned', pins.map('services'), 'key'],
        encodeServiceKey(stranger),
        'value',
        encodeIndex(7),
      ),
    )
    assert.deepEqual(found, [`delete ${keyOfRow(stranger)}`])
  })

  test('entries that are nothing at all are counted, and go with the next change', async () => {
    const driver = lab.open()
    await converge(driver, wanted)
    await bpftool(
      'map',
      'update',
      'pinned',
      pins.map('services'),
      'key',
      Buffer.alloc(20, 9),
      'value',
      encodeIndex(1),
    )
    await bpftool(
      'map',
      'update',
      'pinned',
      pins.map('vips'),
      'key',
      Buffer.alloc(16, 9),
      'value',
      encodeIndex(1),
    )
    const { mapId } = findService(pins, web)
    await bpftool(
      ...['map', 'update', 'pinned', pins.map('rings'), 'key'],
      encodeIndex(9),
      ...['value', 'id', String(mapId)],
    )
    const before = await driver.observe()
    assertReached(wanted, before.rows)
    assert.deepEqual(before.facts.orphans, { services: 1, vips: 1, rings: 1 })
    const changed = tableOf(settingsRow(), { ...web, idleTimeout: 61 }, dns, other, ...wires)
    assertReached(changed, await converge(driver, changed))
    assert.deepEqual((await driver.observe()).facts.orphans, { services: 0, vips: 0, rings: 0 })
  })

  test('pins of program and maps that are removed are put back, and the program stays', async () => {
    for (const pin of [pins.program, pins.map('services'), pins.map('flows'), pins.map('control')]) {
      const driver = lab.open()
      await converge(driver, wanted)
      const program = programIdOf(pins)
      assert.deepEqual(await differencesAfter(async () => rmSync(pin)), ['create settings'])
      assert.equal(programIdOf(pins), program)
    }
    assert.deepEqual(
      await differencesAfter(async () => rmSync(pins.root, { recursive: true })),
      [
        ...wires.map(row => `create ${keyOfRow(row)}`),
        ...[web, dns, other].map(row => `create ${keyOfRow(row)}`),
        'create settings',
      ].sort(),
    )
  })

  test('a link pin that is removed detaches, and is seen', async () => {
    const [, name] = lab.interfaces
    const found = await differencesAfter(async () => {
      rmSync(pins.link(name))
      // The kernel detaches a link that nobody holds a moment later.
      await until('it is detached', () => queryXdp(interfaceIndex(name)).programId === 0)
    })
    assert.deepEqual(found, [`create interface/${name}`])
  })

  test('a link that is detached is seen', async () => {
    const found = await differencesAfter(() =>
      bpftool('link', 'detach', 'pinned', pins.link(lab.interfaces[0])),
    )
    assert.deepEqual(found, [`create interface/${lab.interfaces[0]}`])
  })

  test('another program put into the link is seen', async () => {
    const found = await differencesAfter(async () => {
      using object = openObject(objectFile('pass'), 'pass')
      await object.load()
      using link = openPin(pins.link(lab.interfaces[0]))
      updateLink(link!.fd, object.programFd('pass'))
    })
    assert.deepEqual(found, [`update interface/${lab.interfaces[0]}`])
  })

  test('a foreign program on the interface is left alone, and said to be there', async () => {
    const driver = lab.open()
    const [wire] = wires
    await converge(driver, tableOf(settingsRow(), web))
    using object = openObject(objectFile('pass'), 'pass')
    await object.load()
    const foreign = attachXdp(object.programFd('pass'), interfaceIndex(wire!.name), 'native')
    assert.ok(typeof foreign === 'object')
    const [outcome] = await driver.apply([{ op: 'create', key: keyOfRow(wire!), after: wire! }], never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'XDP_INTERFACE_BUSY')
    assert.equal((await driver.observe()).rows[keyOfRow(wire!)], undefined)
    foreign.close()
    assertReached(wanted, await converge(driver, wanted))
  })

  test('an interface that is made anew is missing until it has the program', async () => {
    const driver = lab.open()
    const names = [...lab.interfaces]
    await converge(driver, wanted)
    await runCommand('ip', ['link', 'del', names[0]!])
    const gone = await driver.apply(
      wires.map((row): { op: 'create'; key: string; after: XdpRow } => ({
        op: 'create',
        key: keyOfRow(row),
        after: row,
      })),
      never,
    )
    assert.deepEqual(
      gone.map(outcome => outcome.result === 'failed' && outcome.code),
      ['XDP_NO_INTERFACE', 'XDP_NO_INTERFACE'],
    )
    await runCommand('ip', ['link', 'add', names[0]!, 'type', 'veth', 'peer', 'name', names[1]!])
    for (const name of names) await runCommand('ip', ['link', 'set', name, 'up'])
    const seen = (await driver.observe()).rows
    assert.deepEqual(
      editsTo(wanted, seen).map(({ key }) => key),
      wires.map(keyOfRow),
    )
    assertReached(wanted, await converge(driver, wanted))
    // All may go though nobody saw the interface go.
    await runCommand('ip', ['link', 'del', names[0]!])
    assert.deepEqual(await converge(driver, {}), {})
  })
})
