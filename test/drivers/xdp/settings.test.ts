import assert from 'node:assert/strict'
import { appendFileSync, copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { encodeConfig } from '../../../reconciler/drivers/xdp/config.ts'
import { MAP_NAMES, openDataplane, readControl } from '../../../reconciler/drivers/xdp/dataplane.ts'
import { readFleetKey } from '../../../reconciler/drivers/xdp/fleet-key.ts'
import { findFlow } from '../../../reconciler/drivers/xdp/flow-table.ts'
import { readLinkInfo } from '../../../reconciler/drivers/xdp/libbpf/info.ts'
import { updateLink } from '../../../reconciler/drivers/xdp/libbpf/links.ts'
import { openObject } from '../../../reconciler/drivers/xdp/libbpf/object.ts'
import { listPins, openPin, repinObject, unpin } from '../../../reconciler/drivers/xdp/libbpf/pins.ts'
import type { NodePins } from '../../../reconciler/drivers/xdp/node-pins.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { fleetKeyFingerprint, flowHash, splitFleetKey } from '../../../reconciler/ring/flow-hash.ts'
import type { XdpInterfaceRow, XdpSettingsRow } from '../../../schemas/node-state.ts'
import { Tcp } from '../../bpf/packet.ts'
import { assertApplied, assertReached, converge, editsTo, never } from '../contract.ts'
import { backendsOf, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { findService, mapIdOf, membersOf, programIdOf, readBucketKey, sendThrough } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const flow = (sourcePort: number, tcpFlags: number = Tcp.syn) => ({
  source: '198.51.100.7',
  sourcePort,
  vip: '203.0.113.1',
  port: 80,
  protocol: 'tcp' as const,
  tcpFlags,
})

const BPF_SOURCE = join(import.meta.dirname, '../../../bpf')

suite('settings of the XDP driver', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const pins = lab.pins()
  const web = serviceRow({ backends: backendsOf('10.0.0.1', '10.0.0.2', '10.0.0.3') })
  const wire: XdpInterfaceRow = { kind: 'interface', name: lab.interfaces[0], attach: 'native' }
  const capacity = { flows: 2000, services: 12, members: 96 }

  const linkOf = (name: string) => {
    using link = openPin(pins.link(name))
    return readLinkInfo(link!.fd)
  }

  /** Flows, each with the backend that it has; then their new SYNs would go elsewhere. */
  async function establishFlows(settings: XdpSettingsRow): Promise<Map<number, string | undefined>> {
    const driver = lab.open()
    await converge(driver, {})
    await converge(driver, tableOf(settings, web, wire))
    const ports = Array.from({ length: 500 }, (_, i) => 30_000 + i)
    const chosen = new Map(ports.map(port => [port, sendThrough(pins, flow(port))]))
    assert.equal(countKept(chosen), chosen.size)
    const drained = serviceRow({ backends: backendsOf('10.0.0.1=0', '10.0.0.2=0', '10.0.0.3=0', '10.0.0.4') })
    await converge(driver, tableOf(settings, drained, wire))
    return chosen
  }

  async function changeTo(settings: XdpSettingsRow): Promise<void> {
    const driver = lab.open()
    const { rows } = await driver.observe()
    const wanted = { ...rows, settings }
    assertReached(wanted, await converge(driver, wanted))
  }

  const countKept = (chosen: Map<number, string | undefined>): number =>
    [...chosen].filter(([port, backend]) => sendThrough(pins, flow(port, Tcp.ack)) === backend).length

  test('other constants are another program with the same maps, link and flows', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const before = { link: linkOf(wire.name), program: programIdOf(pins), flows: mapIdOf(pins.map('flows')) }
    await changeTo(settingsRow({ capacity, mtu: 9000, unmatched: 'pass' }))
    const after = { link: linkOf(wire.name), program: programIdOf(pins), flows: mapIdOf(pins.map('flows')) }
    assert.equal(after.link.id, before.link.id)
    assert.notEqual(after.program, before.program)
    assert.equal(after.link.programId, after.program)
    assert.equal(after.flows, before.flows)
    assert.equal(countKept(chosen), 500)
  })

  test('a larger and a smaller flow table take the flows along, live', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const before = { link: linkOf(wire.name), flows: mapIdOf(pins.map('flows')) }
    await changeTo(settingsRow({ capacity: { ...capacity, flows: 100_000 } }))
    assert.notEqual(mapIdOf(pins.map('flows')), before.flows)
    assert.equal(linkOf(wire.name).id, before.link.id)
    assert.equal(countKept(chosen), 500)
    await changeTo(settingsRow({ capacity: { ...capacity, flows: 700 } }))
    assert.ok(countKept(chosen) >= 498, 'more than 0.1% of the flows were lost')
  })

  test('connections of which only a SYN was seen go along too', async () => {
    const driver = lab.open()
    await converge(driver, {})
    await converge(driver, tableOf(settingsRow({ capacity }), web, wire))
    const opened = new Map(
      Array.from({ length: 20 }, (_, i) => [30_000 + i, sendThrough(pins, flow(30_000 + i))]),
    )
    const drained = serviceRow({ backends: backendsOf('10.0.0.1=0', '10.0.0.2=0', '10.0.0.3=0', '10.0.0.4') })
    await converge(driver, tableOf(settingsRow({ capacity }), drained, wire))
    const tables = new Set([mapIdOf(pins.map('half_open'))])
    for (const flows of [1_000_000, 700]) {
      await changeTo(settingsRow({ capacity: { ...capacity, flows } }))
      tables.add(mapIdOf(pins.map('half_open')))
    }
    assert.equal(tables.size, 3)
    assert.equal(countKept(opened), opened.size)
  })

  test('other sizes of the other maps take services, members, counters and flows along', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const before = { ...findService(pins, web), counters: await lab.open().readCounters() }
    await changeTo(settingsRow({ capacity: { ...capacity, services: 50, members: 500 } }))
    assert.equal(countKept(chosen), 500)
    for (const smaller of [
      { services: 1, members: 500 },
      { services: 1, members: 2 },
    ]) {
      await changeTo(settingsRow({ capacity: { ...capacity, ...smaller } }))
      const identity = (ring: typeof before.ring) =>
        [...membersOf(ring)].map(([address, { index, generation }]) => [address, index, generation])
      assert.deepEqual(identity(findService(pins, web).ring), identity(before.ring))
    }
    assert.equal(countKept(chosen), 500)
    const { services, liveFlows } = await lab.open().readCounters()
    assert.equal(liveFlows, before.counters.liveFlows)
    const packets = (rows: typeof services) =>
      Object.values(rows).flatMap(backends => backends.map(backend => backend.newFlows))
    assert.deepEqual(packets(services), packets(before.counters.services))
  })

  test('maps too small for what they hold are refused, and nothing changes', async () => {
    await establishFlows(settingsRow({ capacity }))
    const driver = lab.open()
    const { rows, digest } = await driver.observe()
    const wanted = { ...rows, settings: settingsRow({ capacity: { ...capacity, members: 1 } }) }
    const [outcome] = await driver.apply(editsTo(wanted, rows), never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'XDP_CAPACITY_TOO_SMALL')
    assert.equal((await driver.observe()).digest, digest)
  })

  test('another version of the object replaces the program under traffic', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const before = { link: linkOf(wire.name), program: programIdOf(pins) }
    const { rows } = await lab.open().observe()
    const newer = join(lab.directory, 'newer.bpf.o')
    copyFileSync(lab.objectFile, newer)
    // Behind the last section, where no loader looks.
    appendFileSync(newer, 'newer')

    const driver = lab.open({ objectFile: newer })
    assert.equal((await driver.observe()).rows.settings, undefined)
    assertReached(rows, await converge(driver, rows))
    assert.notEqual(programIdOf(pins), before.program)
    assert.equal(linkOf(wire.name).id, before.link.id)
    assert.equal(linkOf(wire.name).programId, programIdOf(pins))
    assert.equal(countKept(chosen), 500)
    await converge(lab.open(), rows)
  })

  test('a version whose constants are laid out differently is replaced under traffic too', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const { rows } = await lab.open().observe()
    const link = linkOf(wire.name)
    await replaceByHand(
      pins,
      wire.name,
      await buildWithOtherConstants(join(lab.directory, 'other-constants')),
    )
    const seen = (await lab.open().observe()).rows
    assert.equal(seen.settings, undefined)
    assert.deepEqual({ ...seen, settings: rows.settings }, rows)
    assertReached(rows, await converge(lab.open(), rows))
    assert.equal(linkOf(wire.name).id, link.id)
    assert.equal(countKept(chosen), 500)
  })

  test('a version without a table of SYNs is replaced under traffic too', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const { rows } = await lab.open().observe()
    const before = { link: linkOf(wire.name), flows: mapIdOf(pins.map('flows')) }
    unpin(pins.map('half_open'))
    await replaceByHand(pins, wire.name, await buildWithoutHalfOpen(join(lab.directory, 'no-half-open')))
    const seen = (await lab.open().observe()).rows
    assert.equal(seen.settings, undefined)
    assert.deepEqual({ ...seen, settings: rows.settings }, rows)
    assertReached(rows, await converge(lab.open(), rows))
    const after = { link: linkOf(wire.name), flows: mapIdOf(pins.map('flows')) }
    assert.deepEqual([after.link.id, after.flows], [before.link.id, before.flows])
    assert.equal(countKept(chosen), 500)
    assert.ok(mapIdOf(pins.map('half_open')) > 0)
  })

  test('a version whose buckets were all alike is replaced under traffic too', async () => {
    await establishFlows(settingsRow({ capacity }))
    await replaceByHand(pins, wire.name, await buildWithAlikeBuckets(join(lab.directory, 'alike')), 1024)
    const ports = Array.from({ length: 500 }, (_, i) => 30_000 + i)
    const chosen = new Map(ports.map(port => [port, sendThrough(pins, flow(port))]))
    assert.equal(countKept(chosen), 500)
    assert.equal(countFound(pins, ports), 500)
    assert.deepEqual((await lab.open().observe()).facts.flows, { capacity: 2048, entries: 4096 })

    const drained = serviceRow({ backends: backendsOf('10.0.0.4=0', '10.0.0.5') })
    const wanted = tableOf(settingsRow({ capacity }), drained, wire)
    assertReached(wanted, await converge(lab.open(), wanted))
    assert.equal(countKept(chosen), 500)
    assert.equal(countFound(pins, ports), 500)
  })

  test('a version that the verifier refuses leaves the old program running, and says why', async () => {
    const chosen = await establishFlows(settingsRow({ capacity }))
    const look = () => ({
      link: linkOf(wire.name),
      program: programIdOf(pins),
      maps: MAP_NAMES.map(name => mapIdOf(pins.map(name))),
    })
    const before = look()
    const { rows } = await lab.open().observe()
    const refused = await buildChanged(join(lab.directory, 'refused'), 'lb.bpf.c', source =>
      source.replace(
        'forget_frame();\n\taction',
        'forget_frame();\n\tif (*(char *)(long)ctx->data)\n\t\treturn 0;\n\taction',
      ),
    )
    const driver = lab.open({ objectFile: refused })
    const [outcome] = await driver.apply(editsTo(rows, (await driver.observe()).rows), never)
    assert.ok(outcome?.result === 'failed')
    assert.equal(outcome.code, 'BPF_EACCES')
    assert.match(outcome.message, /R\d+ offset is outside of the packet/)
    assert.deepEqual(look(), before)
    assert.equal(countKept(chosen), 500)
    assertReached(rows, (await lab.open().observe()).rows)
  })

  test('the bucket key stays, and is not the same on another node', async () => {
    const keyOf = async (node: string) => {
      await converge(lab.open({ node }), tableOf(settingsRow()))
      return readBucketKey(lab.pins(node).map('control'))
    }
    const key = await keyOf('key-a')
    assert.notEqual(key, 0n)
    await converge(lab.open({ node: 'key-a' }), tableOf(settingsRow({ mtu: 4000 })))
    assert.equal(readBucketKey(lab.pins('key-a').map('control')), key)
    assert.notEqual(await keyOf('key-b'), key)
  })

  test('a fleet key in a file is used, as bytes and as hex, and must be the one of the fleet', async () => {
    const key = Uint8Array.from({ length: 16 }, (_, i) => i * 11)
    const settings = settingsRow({ fleetKey: fleetKeyFingerprint(key) })
    const fleetKeyFile = join(lab.directory, 'fleet.key')
    for (const content of [key, `${Buffer.from(key).toString('hex')}\n`]) {
      writeFileSync(fleetKeyFile, content)
      const driver = lab.open({ node: 'secret', fleetKeyFile })
      assertReached(tableOf(settings), await converge(driver, tableOf(settings)))
      await converge(driver, {})
    }
    const codeOf = async (file: string | undefined) => {
      const driver = lab.open({ node: 'secret', ...(file && { fleetKeyFile: file }) })
      const [outcome] = await driver.apply(editsTo(tableOf(settings), {}), never)
      return outcome?.result === 'failed' && outcome.code
    }
    assert.equal(await codeOf(undefined), 'FLEET_KEY_MISMATCH')
    writeFileSync(fleetKeyFile, 'short')
    assert.equal(await codeOf(fleetKeyFile), 'FLEET_KEY_UNREADABLE')
    assert.equal(await codeOf(join(lab.directory, 'no.key')), 'FLEET_KEY_UNREADABLE')
  })

  test('the program does not go while services or interfaces use it; after it no pin is left', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow(), web, wire))
    const { settings } = (await driver.observe()).rows
    const [outcome] = await driver.apply([{ op: 'delete', key: 'settings', before: settings! }], never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'XDP_SETTINGS_IN_USE')
    assert.deepEqual(await converge(driver, {}), {})
    assertApplied(await driver.apply([{ op: 'delete', key: 'settings', before: settings! }], never))
    assert.deepEqual(listPins(pins.root), [])
  })

  test('a missing object file says how to make it', async () => {
    const driver = lab.open({ node: 'no-object', objectFile: join(lab.directory, 'none.o') })
    assert.match((await driver.capabilities()).reason, /make -C bpf/)
    const [outcome] = await driver.apply(editsTo(tableOf(settingsRow()), {}), never)
    assert.equal(outcome?.result === 'failed' && outcome.code, 'BPF_OBJECT_MISSING')
  })
})

/** The object as another version might have it: its constants have one more field. */
const buildWithOtherConstants = (directory: string): Promise<string> =>
  buildChanged(directory, 'lb_types.h', source =>
    source
      .replace('__u32 capacity_flows;', '__u64 more; __u32 capacity_flows;')
      .replace(/sizeof\(struct lb_config\) == \d+/, 'sizeof(struct lb_config) > 0'),
  )

/** The object as before there were half-open entries, for whoever looks for these. */
const buildWithoutHalfOpen = (directory: string): Promise<string> =>
  buildChanged(directory, 'maps.h', source =>
    source.replace('#include "lb_types.h"', '#include "lb_types.h"\n#define half_open another'),
  )

/** The object as before a flow had a near bucket: then each had two out of a power of two. */
const buildWithAlikeBuckets = (directory: string): Promise<string> =>
  buildChanged(directory, 'choose.h', source =>
    source.replace(
      /__u32 index = config\.near_buckets \+\s+\(\(buckets & .*? - 1\)\) \^ neighbour\);/s,
      '__u32 index = (buckets + 0 * neighbour) & (config.near_buckets - 1);',
    ),
  )

/** How many of the flows from those ports have an entry, for who asks user space. */
function countFound(pins: NodePins, ports: readonly number[]): number {
  using dataplane = openDataplane(pins)!
  const { bucketKey } = readControl(dataplane)
  const fleetKey = splitFleetKey(readFleetKey(settingsRow(), undefined))
  return ports.filter(port => findFlow(dataplane, flowHash(fleetKey, flow(port)), bucketKey) !== undefined)
    .length
}

/** The object, built in `directory` from a source of which one file is another. */
async function buildChanged(
  directory: string,
  file: string,
  change: (source: string) => string,
): Promise<string> {
  cpSync(BPF_SOURCE, directory, { recursive: true, filter: path => !path.endsWith('build') })
  const changed = join(directory, file)
  const source = readFileSync(changed, 'utf8')
  assert.notEqual(change(source), source)
  writeFileSync(changed, change(source))
  await runCommand('make', ['-s', '-C', directory, 'build/lb.bpf.o'], { timeout: 60_000 })
  return join(directory, 'build/lb.bpf.o')
}

/** Loads an object over the pinned maps, as that other version would have; with a flow table of its own, if asked. */
async function replaceByHand(
  pins: NodePins,
  interfaceName: string,
  objectFile: string,
  flowBuckets?: number,
): Promise<void> {
  using object = openObject(objectFile, 'ballast')
  for (const name of MAP_NAMES) {
    using map = openPin(pins.map(name))
    if (map !== undefined && (name !== 'flows' || flowBuckets === undefined)) object.reuseMap(name, map.fd)
  }
  if (flowBuckets !== undefined) {
    using present = openDataplane(pins)
    object.setMaxEntries('flows', flowBuckets)
    object.setConstant('config', encodeConfig({ ...present!.config!, nearBuckets: flowBuckets, object: 1 }))
  }
  await object.load()
  if (flowBuckets !== undefined) repinObject(object.mapFd('flows'), pins.map('flows'))
  object.bindMap('lb', 'control')
  repinObject(object.programFd('lb'), pins.program)
  using link = openPin(pins.link(interfaceName))
  updateLink(link!.fd, object.programFd('lb'))
}
