import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { GENERATION_BITS, RING_MEMBERS } from '../../reconciler/drivers/xdp/layout.ts'
import { SLOT_NONE } from '../../reconciler/ring/maglev.ts'
import { buildObjects, member, needsRoot } from './balancer.ts'
import { A, B, C, onlyFlow, open, send, serviceOf, TCP, TCP6, tickNow, UDP, UDP6 } from './connections.ts'
import { aged, FlowState } from './flow-entry.ts'
import { Tcp } from './packet.ts'

suite('an established flow', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, packet] of Object.entries({ TCP, UDP, TCP6, UDP6 })) {
    test(`keeps its backend when the ring changes: ${what} (rule 3)`, async () => {
      using balancer = await open(packet)
      assert.equal(send(balancer, packet), A.address)
      await balancer.swapRing(0, serviceOf(packet, { slots: 1 }))
      assert.equal(send(balancer, packet), A.address)
      assert.equal(send(balancer, { ...packet, sourcePort: 40_001 }), B.address, 'a new flow does not')
      assert.deepEqual(balancer.counted(), { forwarded_flow: 1, forwarded_ring: 2 })
    })

    test(`keeps its backend while that drains, which gets no new flows: ${what} (rule 3)`, async () => {
      using balancer = await open(packet)
      send(balancer, packet)
      const drained = { members: [{ ...A, weight: 0 }, B], slots: 1 }
      await balancer.swapRing(0, serviceOf(packet, drained))
      assert.equal(send(balancer, packet), A.address)
      for (let sourcePort = 1; sourcePort < 20; sourcePort++) {
        assert.equal(send(balancer, { ...packet, sourcePort }), B.address)
      }
    })

    test(`goes on when every backend drains, and new flows end: ${what}`, async () => {
      using balancer = await open(packet)
      send(balancer, packet)
      await balancer.swapRing(0, serviceOf(packet, { members: [{ ...A, weight: 0 }], slots: SLOT_NONE }))
      balancer.counted()
      assert.equal(send(balancer, packet), A.address)
      assert.equal(send(balancer, { ...packet, sourcePort: 40_001 }), undefined)
      assert.deepEqual(balancer.counted(), { forwarded_flow: 1, drop_no_backend: 1 })
    })

    test(`is hashed again when its backend was removed, and stays where it went: ${what} (rule 3)`, async () => {
      using balancer = await open(packet)
      send(balancer, packet)
      balancer.counted()
      await balancer.swapRing(0, serviceOf(packet, { members: [undefined, B], slots: 1 }))
      assert.equal(send(balancer, packet), B.address)
      assert.deepEqual(balancer.counted(), { flow_rehashed: 1, forwarded_ring: 1 })
      await balancer.swapRing(0, serviceOf(packet, { members: [C, B], slots: 0 }))
      assert.equal(send(balancer, packet), B.address)
      assert.deepEqual(balancer.counted(), { forwarded_flow: 1 })
      assert.equal(balancer.flows().length, 1, 'in the place that it had')
    })
  }

  test('is hashed again when its index now belongs to another backend', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP)
    balancer.counted()
    await balancer.swapRing(0, serviceOf(TCP, { members: [C, B], slots: 1 }))
    assert.equal(send(balancer, TCP), B.address)
    assert.deepEqual(balancer.counted(), { flow_rehashed: 1, forwarded_ring: 1 })
  })

  test('is hashed again when its backend was removed and came back as a new member', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP)
    await balancer.swapRing(0, serviceOf(TCP, { members: [{ ...A, generation: 9 }, B], slots: 1 }))
    assert.equal(send(balancer, TCP), B.address)
  })

  test('has no other backend when its own was removed and every other drains', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP)
    await balancer.swapRing(
      0,
      serviceOf(TCP, { members: [undefined, { ...B, weight: 0 }], slots: SLOT_NONE }),
    )
    balancer.counted()
    assert.equal(send(balancer, TCP), undefined)
    assert.deepEqual(balancer.counted(), { flow_rehashed: 1, drop_no_backend: 1 })
  })

  test('is found at the last index with the last generation', async () => {
    const last = member('10.9.0.9', { generation: 2 ** GENERATION_BITS - 1 })
    const members = [...new Array<undefined>(RING_MEMBERS - 1).fill(undefined), last]
    using balancer = await open(TCP, { members, slots: RING_MEMBERS - 1 })
    assert.equal(send(balancer, TCP), last.address)
    const { index, generation } = onlyFlow(balancer)
    assert.deepEqual({ index, generation }, { index: RING_MEMBERS - 1, generation: last.generation })
    await balancer.swapRing(0, serviceOf(TCP, { members: [A, ...members.slice(1)], slots: 0 }))
    assert.equal(send(balancer, TCP), last.address)
  })

  test('of a TCP connection is hashed again by a SYN, which opens a new one', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP, Tcp.syn)
    send(balancer, TCP)
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    balancer.counted()
    assert.equal(send(balancer, TCP, Tcp.syn), B.address)
    assert.equal(send(balancer, TCP), B.address)
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1, forwarded_flow: 1 })
    assert.equal(onlyFlow(balancer).index, 1)
  })

  test('of a TCP connection is not hashed again by a SYN with an acknowledgement', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP)
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    assert.equal(send(balancer, TCP, Tcp.syn | Tcp.ack), A.address)
  })

  test('is known by its whole tuple', async () => {
    using balancer = await open(TCP, { nearBuckets: 1 })
    send(balancer, TCP)
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    assert.equal(send(balancer, { ...TCP, source: '198.51.100.8' }), B.address)
    assert.equal(send(balancer, { ...TCP, sourcePort: 40_001 }), B.address)
    assert.equal(send(balancer, TCP), A.address)
  })
})

suite('the state of a flow', { skip: needsRoot }, () => {
  before(buildObjects)

  /** Packets of one connection, as their TCP flags, and the state after each. */
  const CONNECTIONS: readonly { what: string; packets: readonly (readonly [number, number])[] }[] = [
    {
      what: 'a connection opened, used and closed',
      packets: [
        [Tcp.syn, FlowState.syn],
        [Tcp.syn, FlowState.syn],
        [Tcp.ack, FlowState.confirmed],
        [Tcp.ack | Tcp.psh, FlowState.confirmed],
        [Tcp.fin | Tcp.ack, FlowState.fin],
        [Tcp.ack, FlowState.fin],
      ],
    },
    { what: 'one that a node sees in its midst', packets: [[Tcp.ack, FlowState.confirmed]] },
    {
      what: 'one whose client resets it',
      packets: [
        [Tcp.ack, FlowState.confirmed],
        [Tcp.rst, FlowState.fin],
      ],
    },
    { what: 'a stray FIN', packets: [[Tcp.fin | Tcp.ack, FlowState.fin]] },
    {
      what: 'a port used again',
      packets: [
        [Tcp.fin | Tcp.ack, FlowState.fin],
        [Tcp.syn, FlowState.syn],
      ],
    },
  ]

  for (const { what, packets } of CONNECTIONS) {
    test(`follows ${what}`, async () => {
      using balancer = await open(TCP)
      for (const [flags, state] of packets) {
        assert.equal(send(balancer, TCP, flags), A.address)
        const [entry] = [...balancer.halfOpen(), ...balancer.flows()]
        assert.equal(entry?.state, state)
      }
    })
  }

  test('is UDP for UDP, whatever the bytes at the place of TCP flags', async () => {
    using balancer = await open(UDP)
    send(balancer, { ...UDP, payload: Buffer.alloc(32, 0xff) })
    assert.equal(onlyFlow(balancer).state, FlowState.udp)
  })

  test('has the time of its last packet', async () => {
    using balancer = await open(TCP)
    const first = tickNow()
    send(balancer, TCP)
    const made = onlyFlow(balancer)
    assert.ok(made.stamp === first || made.stamp === ((first + 1) & 0xffffff), `${made.stamp} at ${first}`)
    balancer.writeFlow(aged(made, 1000))
    send(balancer, TCP)
    const { stamp, ...renewed } = onlyFlow(balancer)
    const { stamp: _, ...rest } = made
    assert.ok(((stamp - made.stamp) & 0xffffff) <= 1)
    assert.deepEqual(renewed, rest, 'renewing changes nothing else')
  })
})

suite('a UDP flow', { skip: needsRoot }, () => {
  before(buildObjects)
  const idleTimeout = 100
  /** Seconds idle → the backend after a swap. A tick is 1.07 s. */
  const IDLE = [
    { ticks: 0, to: A },
    { ticks: 91, to: A },
    { ticks: 95, to: B },
    { ticks: 10_000_000 >> 1, to: B },
    { ticks: -1, to: A },
  ]
  for (const { ticks, to } of IDLE) {
    test(`with a timeout of 100 s, last seen ${ticks} ticks ago, goes to ${to === A ? 'its' : 'a new'} backend`, async () => {
      using balancer = await open(UDP, { idleTimeout })
      send(balancer, UDP)
      balancer.writeFlow(aged(onlyFlow(balancer), ticks))
      await balancer.swapRing(0, serviceOf(UDP, { slots: 1, idleTimeout }))
      balancer.counted()
      assert.equal(send(balancer, UDP), to.address)
      assert.deepEqual(balancer.counted(), to === A ? { forwarded_flow: 1 } : { forwarded_ring: 1 })
      assert.equal(onlyFlow(balancer).index, to === A ? 0 : 1)
    })
  }

  test('is kept by every packet', async () => {
    using balancer = await open(UDP, { idleTimeout })
    send(balancer, UDP)
    await balancer.swapRing(0, serviceOf(UDP, { slots: 1, idleTimeout }))
    for (let i = 0; i < 3; i++) {
      balancer.writeFlow(aged(onlyFlow(balancer), 80))
      assert.equal(send(balancer, UDP), A.address)
    }
  })

  test('and a TCP connection differ: that is kept however long it was idle, while nobody needs its place', async () => {
    using balancer = await open(TCP, { idleTimeout })
    send(balancer, TCP)
    balancer.writeFlow(aged(onlyFlow(balancer), 100_000))
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1, idleTimeout }))
    assert.equal(send(balancer, TCP), A.address)
  })
})

suite('how a flow began is counted', { skip: needsRoot }, () => {
  before(buildObjects)

  test('a connection is confirmed once, by the first packet after its SYN', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP, Tcp.syn)
    send(balancer, TCP, Tcp.syn)
    assert.deepEqual(balancer.begun(), { confirmed: 0, midway: 0 }, 'a SYN that nobody answered')
    for (let i = 0; i < 3; i++) send(balancer, TCP)
    send(balancer, TCP, Tcp.fin | Tcp.ack)
    assert.deepEqual(balancer.begun(), { confirmed: 1, midway: 0 })
  })

  test('a connection that is given up before it is answered is not confirmed', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP, Tcp.syn)
    send(balancer, TCP, Tcp.rst)
    assert.deepEqual(balancer.begun(), { confirmed: 0, midway: 0 })
  })

  for (const [what, packet] of Object.entries({ TCP, UDP, TCP6, UDP6 })) {
    test(`what no SYN began is a flow in its midst, never a confirmed one: ${what}`, async () => {
      using balancer = await open(packet)
      for (let i = 0; i < 3; i++) send(balancer, packet)
      assert.deepEqual(balancer.begun(), { confirmed: 0, midway: 1 })
    })
  }
})
