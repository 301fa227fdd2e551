import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { FLOW_WAYS } from '../../reconciler/drivers/xdp/layout.ts'
import { type Action, type Balancer, buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { A, serviceOf, TCP, TCP6, UDP } from './connections.ts'
import { buildFrame, fragment, type PacketFields, Tcp } from './packet.ts'

const send = (balancer: Balancer, packet: PacketFields, sourcePort: number, tcpFlags?: number): Action =>
  balancer.send(buildFrame({ ...packet, sourcePort, ...(tcpFlags !== undefined && { tcpFlags }) })).action

/** A service, with a connection from port 1, that moves from now on. */
async function openMoving(packet: PacketFields, handover: 'from-ipvs' | 'to-ipvs'): Promise<Balancer> {
  const balancer = await openBalancer({ services: [serviceOf(packet, { members: [A] })] })
  send(balancer, packet, 1, Tcp.syn)
  send(balancer, packet, 1, Tcp.ack)
  await balancer.swapRing(0, serviceOf(packet, { members: [A], handover }))
  balancer.counted()
  return balancer
}

suite('a service that moves between IPVS and XDP', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, packet] of Object.entries({ TCP, TCP6 })) {
    test(`from IPVS: SYNs and what they began are forwarded, the rest passes: ${what}`, async () => {
      using balancer = await openMoving(packet, 'from-ipvs')
      assert.equal(send(balancer, packet, 1, Tcp.ack), 'tx')
      assert.equal(send(balancer, packet, 2, Tcp.ack), 'pass')
      assert.equal(send(balancer, packet, 2, Tcp.fin | Tcp.ack), 'pass')
      assert.equal(balancer.counted().pass_handover, 2)
      assert.equal(send(balancer, packet, 2, Tcp.syn), 'tx')
      assert.equal(send(balancer, packet, 2, Tcp.ack), 'tx')
    })

    test(`to IPVS: what has an entry is forwarded, the rest passes and gets none: ${what}`, async () => {
      using balancer = await openMoving(packet, 'to-ipvs')
      assert.equal(send(balancer, packet, 1, Tcp.ack), 'tx')
      assert.equal(send(balancer, packet, 2, Tcp.syn), 'pass')
      assert.equal(send(balancer, packet, 2, Tcp.ack), 'pass')
      assert.equal(balancer.counted().pass_handover, 2)
      assert.equal(balancer.flows().length, 1)
      // Its packets would find the entry.
      assert.equal(send(balancer, packet, 1, Tcp.syn), 'tx')
    })

    test(`to IPVS: a port that a client uses again, once its connection has ended, begins there: ${what}`, async () => {
      using balancer = await openMoving(packet, 'to-ipvs')
      for (const tcpFlags of [Tcp.fin | Tcp.ack, Tcp.ack])
        assert.equal(send(balancer, packet, 1, tcpFlags), 'tx')
      for (const tcpFlags of [Tcp.syn, Tcp.ack, Tcp.fin | Tcp.ack])
        assert.equal(send(balancer, packet, 1, tcpFlags), 'pass')
      assert.deepEqual(balancer.counted(), { forwarded_flow: 2, pass_handover: 3 })
      assert.deepEqual(balancer.flows(), [])
    })

    test(`from IPVS: what XDP remembers of before, of members that are gone, keeps nothing from IPVS: ${what}`, async () => {
      using balancer = await openMoving(packet, 'from-ipvs')
      const members = [{ ...A, generation: A.generation + 1 }]
      await balancer.swapRing(0, serviceOf(packet, { members, handover: 'from-ipvs' }))
      assert.equal(send(balancer, packet, 1, Tcp.ack), 'pass')
      assert.equal(balancer.flows().length, 0)
      assert.equal(send(balancer, packet, 1, Tcp.syn), 'tx')
      assert.equal(send(balancer, packet, 1, Tcp.ack), 'tx')
    })
  }

  test('to IPVS: what is forgotten leaves its place used, so that flows in further buckets are found', async () => {
    const balancer = await openBalancer({ services: [serviceOf(TCP, { members: [A] })], nearBuckets: 1 })
    using _ = balancer
    const ports = Array.from({ length: 2 * FLOW_WAYS }, (_, i) => i + 1)
    for (const port of ports) send(balancer, TCP, port, Tcp.ack)
    assert.equal(balancer.flows().filter(({ bucket }) => bucket === 0).length, FLOW_WAYS)
    await balancer.swapRing(0, serviceOf(TCP, { members: [A], handover: 'to-ipvs' }))
    const [last] = ports.splice(FLOW_WAYS - 1, 1)
    send(balancer, TCP, last!, Tcp.fin | Tcp.ack)
    assert.equal(send(balancer, TCP, last!, Tcp.syn), 'pass')
    assert.equal(balancer.flows().length, ports.length)
    for (const port of ports) assert.equal(send(balancer, TCP, port, Tcp.ack), 'tx', `port ${port}`)
  })

  test('from IPVS: a SYN whose member is gone leaves an empty place, which no other SYN is said to have lost', async () => {
    const service = serviceOf(TCP, { members: [A] })
    using balancer = await openBalancer({ services: [service], halfOpenBuckets: 1 })
    send(balancer, TCP, 1, Tcp.syn)
    const gone = serviceOf(TCP, { members: [{ ...A, generation: A.generation + 1 }], handover: 'from-ipvs' })
    await balancer.swapRing(0, gone)
    assert.equal(send(balancer, TCP, 1, Tcp.ack), 'pass')
    await balancer.swapRing(0, service)
    balancer.counted()
    for (let port = 2; port < 2 + FLOW_WAYS; port++) send(balancer, TCP, port, Tcp.syn)
    assert.deepEqual(balancer.counted(), { forwarded_ring: FLOW_WAYS })
  })

  test('datagrams move at once from IPVS; to it, those of flows that are remembered stay', async () => {
    using from = await openMoving(UDP, 'from-ipvs')
    assert.deepEqual([send(from, UDP, 1), send(from, UDP, 2)], ['tx', 'tx'])
    using to = await openMoving(UDP, 'to-ipvs')
    assert.deepEqual([send(to, UDP, 1), send(to, UDP, 2)], ['tx', 'pass'])
  })

  test('all fragments of a packet go to whom its flow belongs', async () => {
    using balancer = await openMoving(UDP, 'to-ipvs')
    const payload = Buffer.alloc(64, 0x5a)
    for (const [sourcePort, action, counted] of [
      [1, 'tx', { forwarded_flow: 1, forwarded_fragment: 1 }],
      [2, 'pass', { pass_handover: 2 }],
    ] as const) {
      const parts = fragment(buildFrame({ ...UDP, sourcePort, payload }), 32)
      assert.deepEqual(
        parts.map(part => balancer.send(part).action),
        [action, action],
      )
      assert.deepEqual(balancer.counted(), counted)
    }
  })
})
