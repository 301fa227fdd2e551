import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { RING_MEMBERS } from '../../../reconciler/drivers/xdp/layout.ts'
import { fleetKeyFromName, flowHash, slotOf, splitFleetKey } from '../../../reconciler/ring/flow-hash.ts'
import type { XdpServiceRow } from '../../../schemas/node-state.ts'
import { Tcp } from '../../bpf/packet.ts'
import { assertApplied, assertReached, converge, editsTo, never } from '../contract.ts'
import { backendsOf, keyOfRow, serviceRow, settingsRow, tableOf } from '../xdp-tables.ts'
import { findService, membersOf, sendThrough } from './kernel.ts'
import { makeXdpLab, needsRoot } from './lab.ts'

const flow = (sourcePort: number, tcpFlags: number = Tcp.syn) => ({
  source: '198.51.100.7',
  sourcePort,
  vip: '203.0.113.1',
  port: 80,
  protocol: 'tcp' as const,
  tcpFlags,
})

suite('services of the XDP driver', { skip: needsRoot }, async () => {
  const lab = await makeXdpLab()
  const pins = lab.pins()
  const web = (...backends: string[]): XdpServiceRow => serviceRow({ backends: backendsOf(...backends) })

  async function failureOf(row: XdpServiceRow, settings = settingsRow()): Promise<string> {
    const driver = lab.open()
    await converge(driver, tableOf(settings))
    const [outcome] = await driver.apply([{ op: 'create', key: keyOfRow(row), after: row }], never)
    assert.equal((await driver.observe()).rows[keyOfRow(row)], undefined)
    return outcome?.result === 'failed' ? outcome.code : 'none'
  }

  test('members that stay keep index, generation and counter through a swap; others get new ones', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow(), web('10.0.0.1', '10.0.0.2', '10.0.0.3')))
    const before = findService(pins, web())
    await converge(driver, tableOf(settingsRow(), web('10.0.0.2=5', '10.0.0.3=0', '10.0.0.4')))
    const after = findService(pins, web())
    const [old, young] = [membersOf(before.ring), membersOf(after.ring)]
    assert.equal(after.id, before.id)
    assert.notEqual(after.mapId, before.mapId)
    assert.equal(after.ring.generation, before.ring.generation + 1)
    assert.deepEqual(young.get('10.0.0.2'), { ...old.get('10.0.0.2'), weight: 5 })
    assert.deepEqual(young.get('10.0.0.3'), { ...old.get('10.0.0.3'), weight: 0 })
    assert.equal(young.get('10.0.0.4')!.index, old.get('10.0.0.1')!.index)
    const generations = [...old.values()].map(member => member.generation)
    assert.ok(!generations.includes(young.get('10.0.0.4')!.generation))
  })

  test('a member that left and came back is another member, also for another process', async () => {
    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.1', '10.0.0.2')))
    const before = membersOf(findService(pins, web()).ring).get('10.0.0.1')!
    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.2')))
    await converge(lab.open(), tableOf(settingsRow(), web('10.0.0.1', '10.0.0.2')))
    const after = membersOf(findService(pins, web()).ring).get('10.0.0.1')!
    assert.equal(after.index, before.index)
    assert.ok(after.generation > before.generation)
  })

  test('no two members of the node share a counter or a pair of index and generation', async () => {
    const driver = lab.open()
    const rows = [80, 81, 82].map(port => serviceRow({ port, backends: backendsOf('10.0.0.1', '10.0.0.2') }))
    await converge(driver, tableOf(settingsRow(), ...rows))
    await converge(driver, tableOf(settingsRow(), ...rows.slice(1)))
    const added = serviceRow({ port: 83, backends: backendsOf('10.0.0.1', '10.0.0.2', '10.0.0.3') })
    await converge(driver, tableOf(settingsRow(), ...rows.slice(1), added))
    const members = [...rows.slice(1), added].flatMap(row => [
      ...membersOf(findService(pins, row).ring).values(),
    ])
    assert.equal(new Set(members.map(({ counter }) => counter)).size, 7)
    assert.equal(new Set(members.map(({ index, generation }) => `${index} ${generation}`)).size, 7)
  })

  test('an established flow keeps its backend over a swap, and while that is drained (rule 3)', async () => {
    const driver = lab.open()
    await converge(driver, tableOf(settingsRow(), web('10.0.0.1', '10.0.0.2')))
    const ports = Array.from({ length: 64 }, (_, i) => 40_000 + i)
    const chosen = new Map(ports.map(port => [port, sendThrough(pins, flow(port))]))
    assert.deepEqual([...new Set(chosen.values())].sort(), ['10.0.0.1', '10.0.0.2'])

    const more = ['10.0.0.2=1', '10.0.0.3=9', '10.0.0.4=9', '10.0.0.5=9']
    await converge(driver, tableOf(settingsRow(), web('10.0.0.1=0', ...more)))
    for (const port of ports) assert.equal(sendThrough(pins, flow(port, Tcp.ack)), chosen.get(port))
    const fresh = ports.map(port => sendThrough(pins, flow(port + 1000)))
    assert.ok(!fresh.includes('10.0.0.1') && fresh.includes('10.0.0.3'))

    await converge(driver, tableOf(settingsRow(), web(...more)))
    for (const port of ports) {
      const now = sendThrough(pins, flow(port, Tcp.ack))
      if (chosen.get(port) === '10.0.0.1') assert.notEqual(now, '10.0.0.1')
      else assert.equal(now, chosen.get(port))
    }
  })

  test('two drivers with different histories send 100,000 tuples to the same backends (rule 4)', async () => {
    const universe = Array.from({ length: 20 }, (_, i) => `10.0.${i % 3}.${i}`)
    const history = fc.array(fc.subarray(universe, { minLength: 1 }), { minLength: 3, maxLength: 5 })
    const final = web(...universe.filter((_, i) => i % 4 !== 0).map((address, i) => `${address}=${i % 5}`))
    const key = splitFleetKey(fleetKeyFromName('test'))
    const tuples = Array.from({ length: 100_000 }, (_, i) => ({
      source: `198.51.${100 + (i % 100)}.${(i >> 8) & 255}`,
      sourcePort: 1024 + (i % 60_000),
      vip: '203.0.113.1',
      port: 80,
      protocol: 'tcp' as const,
    }))
    const slots = tuples.map(tuple => slotOf(flowHash(key, tuple)))
    const choices: (string | undefined)[][] = []
    for (const node of ['lb-a', 'lb-b']) {
      const driver = lab.open({ node })
      for (const pool of fc.sample(history, 1)[0]!)
        await converge(driver, tableOf(settingsRow(), web(...pool)))
      await converge(driver, tableOf(settingsRow(), final))
      const { ring } = findService(lab.pins(node), final)
      choices.push(slots.map(slot => ring.members[ring.slots[slot]!]?.address))
      for (const tuple of tuples.slice(0, 50)) {
        const expected = ring.members[ring.slots[slotOf(flowHash(key, tuple))]!]?.address
        assert.equal(sendThrough(lab.pins(node), { ...tuple, tcpFlags: Tcp.syn }), expected)
      }
    }
    assert.deepEqual(choices[0], choices[1])
    const facts = await Promise.all(
      ['lb-a', 'lb-b'].map(async node => (await lab.open({ node }).observe()).facts),
    )
    assert.equal(facts[0]!.rings, facts[1]!.rings)
  })

  test('what a service cannot be is refused with a code, and the others are made', async () => {
    const address = (i: number) => `10.1.${i >> 8}.${i & 255}`
    const tooMany = web(...Array.from({ length: RING_MEMBERS + 1 }, (_, i) => address(i)))
    const large = settingsRow({ capacity: { flows: 100, services: 4, members: 4096 } })
    assert.equal(await failureOf(tooMany, large), 'XDP_TOO_MANY_BACKENDS')
    const mixed = serviceRow({ vip: '2001:db8:f::1', backends: backendsOf('10.0.0.1') })
    assert.equal(await failureOf(mixed), 'XDP_FAMILIES_MIXED')
    const crowd = web(...Array.from({ length: 300 }, (_, i) => address(i)))
    assert.equal(await failureOf(crowd), 'XDP_CAPACITY_EXCEEDED')

    const driver = lab.open()
    const observed = (await driver.observe()).rows
    const good = serviceRow({ port: 8080, backends: backendsOf('10.0.0.1') })
    const outcomes = await driver.apply(editsTo(tableOf(settingsRow(), good, mixed), observed), never)
    assert.deepEqual(
      outcomes.map(({ key, result }) => [key, result]),
      [
        [keyOfRow(good), 'applied'],
        [keyOfRow(mixed), 'failed'],
      ],
    )
    assertReached(tableOf(settingsRow(), good), (await driver.observe()).rows)
  })

  test('a ring holds 1024 backends', async () => {
    const driver = lab.open()
    const settings = settingsRow({ capacity: { flows: 100, services: 4, members: RING_MEMBERS } })
    const full = web(...Array.from({ length: RING_MEMBERS }, (_, i) => `10.2.${i >> 8}.${i & 255}`))
    assertReached(tableOf(settings, full), await converge(driver, tableOf(settings, full)))
    // All others, in one swap.
    const others = web(...Array.from({ length: RING_MEMBERS }, (_, i) => `10.3.${i >> 8}.${i & 255}`))
    assertReached(tableOf(settings, others), await converge(driver, tableOf(settings, others)))
  })

  test('without settings there is nothing to make services in', async () => {
    const driver = lab.open({ node: 'bare' })
    const row = web('10.0.0.1')
    const outcomes = await driver.apply([{ op: 'create', key: keyOfRow(row), after: row }], never)
    assert.equal(outcomes[0]?.result === 'failed' && outcomes[0].code, 'XDP_NO_SETTINGS')
    assertApplied(await driver.apply([{ op: 'delete', key: keyOfRow(row), before: row }], never))
  })

  test('counters say what each backend had, and which connections are open', async () => {
    const driver = lab.open({ node: 'counting' })
    const here = lab.pins('counting')
    const row = web('10.0.0.1', '10.0.0.2')
    await converge(driver, tableOf(settingsRow(), row))
    const count = (address: string) => [...chosen.values()].filter(backend => backend === address).length
    const chosen = new Map(Array.from({ length: 40 }, (_, i) => [i, sendThrough(here, flow(50_000 + i))]))
    for (const port of chosen.keys()) sendThrough(here, flow(50_000 + port, Tcp.ack))
    const open = (await driver.readCounters()).services[keyOfRow(row)]!
    for (const { address, ...counters } of open) {
      const flows = count(address)
      assert.deepEqual(counters, {
        packets: 2 * flows,
        bytes: 2 * 40 * flows,
        newFlows: flows,
        connections: flows,
      })
    }
    assert.equal((await driver.readCounters()).liveFlows, 40)

    for (const [port, backend] of chosen) {
      if (backend === '10.0.0.1') sendThrough(here, flow(50_000 + port, Tcp.fin | Tcp.ack))
    }
    const closed = (await driver.readCounters()).services[keyOfRow(row)]!
    assert.deepEqual(
      closed.map(({ connections }) => connections),
      [0, count('10.0.0.2')],
    )
    const { facts } = await driver.observe()
    assert.deepEqual(facts.reasons, {
      forwarded_flow: { packets: 40 + count('10.0.0.1'), bytes: 54 * (40 + count('10.0.0.1')) },
      forwarded_ring: { packets: 40, bytes: 54 * 40 },
      flow_confirmed: { packets: 40, bytes: 54 * 40 },
    })
  })

  test('a counter begins at zero with its next member', async () => {
    const driver = lab.open({ node: 'zero' })
    const row = web('10.0.0.1')
    await converge(driver, tableOf(settingsRow(), row))
    sendThrough(lab.pins('zero'), flow(50_000))
    await converge(driver, tableOf(settingsRow()))
    await converge(driver, tableOf(settingsRow(), row))
    const [backend] = (await driver.readCounters()).services[keyOfRow(row)]!
    assert.equal(backend?.packets, 0)
  })

  test('many services at once do not keep the event loop', async t => {
    const driver = lab.open({ node: 'many' })
    const settings = settingsRow({ capacity: { flows: 1000, services: 100, members: 2000 } })
    const rows = Array.from({ length: 100 }, (_, i) =>
      serviceRow({
        vip: `203.0.114.${i}`,
        backends: backendsOf(...Array.from({ length: 20 }, (_, j) => `10.4.${i}.${j}`)),
      }),
    )
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last - 1)
      last = performance.now()
    }, 1)
    const took = async (what: string, work: () => Promise<unknown>) => {
      longest = 0
      const began = performance.now()
      await work()
      const ms = (performance.now() - began).toFixed(1)
      t.diagnostic(`${what}: ${ms} ms, event loop kept for at most ${longest.toFixed(1)} ms`)
    }
    const wanted = tableOf(settings, ...rows)
    try {
      await took('100 services x 20 backends from nothing', () => driver.apply(editsTo(wanted, {}), never))
      await took('observing them', () => driver.observe())
      await took('observing them again', () => driver.observe())
      await took('fingerprint', () => driver.fingerprint())
    } finally {
      clearInterval(timer)
    }
    const { rows: seen } = await driver.observe()
    assertReached(wanted, seen)
    await took('all away', () => driver.apply(editsTo({}, seen), never))
    assert.deepEqual((await driver.observe()).rows, {})
  })
})
