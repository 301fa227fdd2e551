import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { structs } from '../../reconciler/drivers/xdp/layout.ts'
import { readMapInfo } from '../../reconciler/drivers/xdp/libbpf/info.ts'
import { readEntries, updateEntry } from '../../reconciler/drivers/xdp/libbpf/maps.ts'
import {
  type Balancer,
  buildObjects,
  member,
  needsRoot,
  openBalancer,
  type ServiceFields,
} from './balancer.ts'
import { A, B, serviceOf, TCP, TCP6, UDP, UDP6 } from './connections.ts'
import { encapsulatedTo } from './expected.ts'
import { buildFrame, fragment, type PacketFields, Tcp, wrapTransport } from './packet.ts'

const payload = Buffer.alloc(64, 0x5a)
const A6 = member('2001:db8:9::1', { generation: 1 })
const B6 = member('2001:db8:9::2', { generation: 2, counter: 1 })

const KINDS = [
  { what: 'UDP', packet: UDP, members: [A, B], carriers: '4in4' },
  { what: 'TCP', packet: TCP, members: [A, B], carriers: '4in4' },
  { what: 'UDP over IPv6', packet: UDP6, members: [A6, B6], carriers: '6in6' },
  { what: 'TCP over IPv6', packet: TCP6, members: [A6, B6], carriers: '6in6' },
] as const

const openFor = (packet: PacketFields, fields: Partial<ServiceFields> = {}): Promise<Balancer> =>
  openBalancer({ services: [serviceOf(packet, fields)] })

const split = (packet: PacketFields) => fragment(buildFrame({ ...packet, payload }), 32)

/** The one entry of the fragment table, moved back in time. */
async function age(balancer: Balancer, ticks: number): Promise<void> {
  const fd = balancer.mapFd('fragments')
  const { keys, values, count } = await readEntries(fd, readMapInfo(fd))
  assert.equal(count, 1)
  const { tick } = structs.fragment.fields
  values.writeUInt32LE((values.readUInt32LE(tick) - ticks) & 0xffffff, tick)
  updateEntry(fd, keys, values)
}

suite('fragments', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const { what, packet, members } of KINDS) {
    test(`the first is balanced, byte for byte, and the rest follows it: ${what}`, async () => {
      using balancer = await openFor(packet, { members })
      const [first, last] = split(packet)
      const sent = balancer.send(first)
      assert.deepEqual([sent.action, balancer.counted()], ['tx', { forwarded_ring: 1 }])
      const to = members[0].address
      assert.equal(sent.frame.toString('hex'), encapsulatedTo(to, first, packet).toString('hex'))
      // Whatever the ring says since.
      await balancer.swapRing(0, serviceOf(packet, { members, slots: 1 }))
      const rest = balancer.send(last)
      assert.deepEqual([rest.action, balancer.counted()], ['tx', { forwarded_fragment: 1 }])
      assert.equal(rest.frame.toString('hex'), encapsulatedTo(to, last, packet).toString('hex'))
      assert.deepEqual(balancer.countedFor(members[0]).packets, 2)
    })

    test(`a later one that comes first is dropped: ${what}`, async () => {
      using balancer = await openFor(packet, { members })
      const [first, last] = split(packet)
      assert.equal(balancer.send(last).action, 'drop')
      assert.deepEqual(balancer.counted(), { drop_fragment_unknown: 1 })
      balancer.send(first)
      assert.equal(balancer.send(last).action, 'tx')
    })

    test(`of another packet, client or protocol do not follow: ${what}`, async () => {
      using balancer = await openFor(packet, { members })
      balancer.send(split(packet)[0])
      balancer.counted()
      const frame = buildFrame({ ...packet, payload })
      const stranger = buildFrame({ ...packet, payload, source: packet.source.replace(/7$/, '8') })
      const other = wrapTransport(packet, packet.protocol === 'tcp' ? 17 : 6, Buffer.alloc(64))
      for (const each of [fragment(frame, 32, 0x1235), fragment(stranger, 32), fragment(other, 32)])
        assert.equal(balancer.send(each[1]).action, 'drop')
      assert.deepEqual(balancer.counted(), { drop_fragment_unknown: 3 })
    })

    test(`of a removed backend go nowhere: ${what}`, async () => {
      using balancer = await openFor(packet, { members })
      const [first, last] = split(packet)
      balancer.send(first)
      await balancer.swapRing(0, serviceOf(packet, { members: [undefined, members[1]], slots: 1 }))
      balancer.counted()
      assert.equal(balancer.send(last).action, 'drop')
      assert.deepEqual(balancer.counted(), { drop_fragment_unknown: 1 })
    })

    test(`do not follow a first one of 30 s ago, whose identification may be another packet's: ${what}`, async () => {
      using balancer = await openFor(packet, { members })
      const [first, last] = split(packet)
      balancer.send(first)
      await age(balancer, 25)
      assert.equal(balancer.send(last).action, 'tx')
      await age(balancer, 10)
      assert.equal(balancer.send(last).action, 'drop')
    })

    test(`a first one without the ports is malformed: ${what}`, async () => {
      using balancer = await openFor(packet, { members })
      const cut = buildFrame({ ...packet, payload })
      const header = packet.source.includes(':') ? 54 : 34
      const [tiny] = fragment(Buffer.concat([cut.subarray(0, header), cut.subarray(header, header + 7)]), 7)
      assert.equal(balancer.send(tiny).action, 'drop')
      assert.deepEqual(balancer.counted(), { drop_malformed: 1 })
    })
  }

  test('a packet in one IPv6 fragment is a whole packet, and leaves no entry (RFC 6946)', async () => {
    using balancer = await openFor(UDP6, { members: [A6, B6] })
    const [atomic] = fragment(buildFrame({ ...UDP6, payload }), 72)
    atomic.writeUInt16BE(0, 14 + 40 + 2)
    assert.equal(balancer.send(atomic).action, 'tx')
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
    const fd = balancer.mapFd('fragments')
    assert.equal((await readEntries(fd, readMapInfo(fd))).count, 0)
  })

  test('make flow entries as whole packets do', async () => {
    using balancer = await openFor(TCP)
    const [first] = fragment(buildFrame({ ...TCP, payload, tcpFlags: Tcp.syn }), 32)
    balancer.send(first)
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    balancer.counted()
    assert.equal(balancer.send(buildFrame({ ...TCP, payload })).action, 'tx')
    assert.deepEqual(balancer.counted(), { forwarded_flow: 1 })
    assert.equal(balancer.flows().length, 1)
  })

  test('of ICMP, and of anything else that is not TCP or UDP, are dropped', async () => {
    using balancer = await openFor(UDP)
    const [first, last] = fragment(wrapTransport(UDP, 1, Buffer.from([8, 0, 0, 0, ...Buffer.alloc(60)])), 32)
    for (const each of [first, last]) assert.equal(balancer.send(each).action, 'drop')
    assert.deepEqual(balancer.counted(), { drop_fragment: 2 })
  })

  test('to a port without a service are dropped as whole packets are, or pass', async () => {
    for (const unmatched of ['drop', 'pass'] as const) {
      using balancer = await openBalancer({ services: [serviceOf(UDP)], settings: { unmatched } })
      const [first] = split({ ...UDP, port: 54 })
      assert.equal(balancer.send(first).action, unmatched)
      assert.deepEqual(balancer.counted(), { [`${unmatched}_unmatched`]: 1 })
    }
  })

  test('to other addresses pass', async () => {
    using balancer = await openFor(UDP)
    for (const each of split({ ...UDP, vip: '203.0.113.99' }))
      assert.equal(balancer.send(each).action, 'pass')
    assert.deepEqual(balancer.counted(), { pass_not_vip: 2 })
  })

  test('that are too big are told to an IPv6 sender', async () => {
    using balancer = await openFor(UDP6, { members: [A6, B6] })
    const [first] = fragment(buildFrame({ ...UDP6, payload: Buffer.alloc(1600) }), 1440)
    assert.equal(balancer.send(first).action, 'tx')
    assert.equal(balancer.counted().answered_too_big, 1)
  })
})
