import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { FLOW_WAYS } from '../../reconciler/drivers/xdp/layout.ts'
import { type Balancer, buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { A, B, C, open, send, serviceOf, TCP, TCP6, tickNow } from './connections.ts'
import { aged, type FlowEntry, FlowState, identityOf } from './flow-entry.ts'
import { Tcp } from './packet.ts'

const states = (entries: readonly FlowEntry[]): number[] => entries.map(({ state }) => state)

suite('a connection of which only a SYN was seen', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, packet] of Object.entries({ TCP, TCP6 })) {
    test(`is in the flow table once it goes on: ${what}`, async () => {
      using balancer = await open(packet)
      for (let i = 0; i < 2; i++) {
        assert.equal(send(balancer, packet, Tcp.syn), A.address)
        assert.deepEqual([balancer.flows(), states(balancer.halfOpen())], [[], [FlowState.syn]])
      }
      for (let i = 0; i < 2; i++) {
        assert.equal(send(balancer, packet), A.address)
        assert.deepEqual([states(balancer.flows()), balancer.halfOpen()], [[FlowState.confirmed], []])
      }
      assert.deepEqual(balancer.counted(), { forwarded_ring: 2, forwarded_flow: 2 })
      assert.deepEqual(balancer.begun(), { confirmed: 1, midway: 0 })
    })

    test(`goes on with its backend when the ring changes in between: ${what} (rule 3)`, async () => {
      using balancer = await open(packet)
      send(balancer, packet, Tcp.syn)
      await balancer.swapRing(0, serviceOf(packet, { slots: 1 }))
      for (let i = 0; i < 2; i++) assert.equal(send(balancer, packet), A.address)
      assert.equal(send(balancer, { ...packet, sourcePort: 40_001 }), B.address)
    })

    test(`counts more than an earlier one from the same port, whose place it takes: ${what}`, async () => {
      using balancer = await open(packet)
      send(balancer, packet)
      await balancer.swapRing(0, serviceOf(packet, { slots: 1 }))
      assert.equal(send(balancer, packet), A.address)
      for (const flags of [Tcp.syn, Tcp.ack, Tcp.ack]) assert.equal(send(balancer, packet, flags), B.address)
      assert.deepEqual(
        balancer.flows().map(({ index, state }) => [index, state]),
        [[1, FlowState.confirmed]],
      )
    })

    test(`is hashed again when its backend left in between, whatever there was before: ${what}`, async () => {
      using balancer = await open(packet)
      send(balancer, packet)
      await balancer.swapRing(0, serviceOf(packet, { slots: 1 }))
      send(balancer, packet, Tcp.syn)
      await balancer.swapRing(0, serviceOf(packet, { members: [A, undefined, C], slots: 2 }))
      balancer.counted()
      for (let i = 0; i < 2; i++) assert.equal(send(balancer, packet), C.address)
      assert.deepEqual(balancer.counted(), { flow_rehashed: 1, forwarded_ring: 1, forwarded_flow: 1 })
      assert.deepEqual([states(balancer.flows()), balancer.halfOpen()], [[FlowState.confirmed], []])
    })
  }

  for (const [what, flags] of Object.entries({ RST: Tcp.rst, FIN: Tcp.fin | Tcp.ack })) {
    test(`ends by a ${what} at its backend, and is not remembered`, async () => {
      using balancer = await open(TCP)
      send(balancer, TCP, Tcp.syn)
      await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
      balancer.counted()
      assert.equal(send(balancer, TCP, flags), A.address)
      assert.deepEqual(balancer.counted(), { forwarded_flow: 1 })
      assert.deepEqual(balancer.flows(), [])
    })
  }

  test('takes nothing from the flow table, however many there are', async () => {
    using balancer = await open(TCP, { nearBuckets: 4 })
    for (let sourcePort = 1; sourcePort <= 4 * FLOW_WAYS; sourcePort++) send(balancer, { ...TCP, sourcePort })
    const flows = balancer.flows()
    for (let sourcePort = 1000; sourcePort < 3000; sourcePort++)
      send(balancer, { ...TCP, sourcePort }, Tcp.syn)
    assert.deepEqual(balancer.flows(), flows)
    assert.equal(balancer.halfOpen().length, 16 * FLOW_WAYS)
  })

  test('is not found by an entry whose halves come from two SYNs', async () => {
    using balancer = await open(TCP, { halfOpenBuckets: 1 })
    const other = { ...TCP, sourcePort: 40_001 }
    send(balancer, TCP, Tcp.syn)
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    send(balancer, other, Tcp.syn)
    const [mine, others] = balancer.halfOpen().toSorted((a, b) => a.index - b.index) as [FlowEntry, FlowEntry]
    balancer.writeHalfOpen({ ...others, generation: 0 })
    balancer.writeHalfOpen({ ...mine, check: others.check })
    await balancer.swapRing(0, serviceOf(TCP, { members: [A, B, C], slots: 2 }))
    assert.equal(send(balancer, TCP), C.address)
    assert.equal(send(balancer, other), C.address)
  })

  test('is where it always was while IPVS has its service besides', async () => {
    for (const handover of ['from-ipvs', 'to-ipvs'] as const) {
      using balancer = await open(TCP)
      send(balancer, TCP, Tcp.syn)
      await balancer.swapRing(0, serviceOf(TCP, { handover }))
      balancer.counted()
      assert.equal(send(balancer, TCP, Tcp.syn), A.address, 'one that XDP began')
      assert.equal(send(balancer, TCP), A.address)
      assert.deepEqual(balancer.counted(), { forwarded_ring: 1, forwarded_flow: 1 })
      send(balancer, { ...TCP, sourcePort: 40_001 }, Tcp.syn)
      const flows = states(balancer.flows())
      assert.deepEqual(
        flows.toSorted(),
        handover === 'from-ipvs' ? [FlowState.syn, FlowState.confirmed] : [2],
      )
      assert.deepEqual(balancer.halfOpen(), [])
    }
  })
})

suite('the table of SYNs', { skip: needsRoot }, () => {
  before(buildObjects)

  /** One bucket with a SYN in each place, by age in ticks; and who was displaced by one more. */
  async function displacedOf(ages: readonly number[]): Promise<{ ways: number[]; counted: object }> {
    using balancer = await open(TCP, { halfOpenBuckets: 1 })
    for (let port = 1; port <= FLOW_WAYS; port++) send(balancer, { ...TCP, sourcePort: port }, Tcp.syn)
    const entries = balancer.halfOpen()
    const stamp = tickNow()
    for (const entry of entries) balancer.writeHalfOpen(aged({ ...entry, stamp }, ages[entry.way]!))
    balancer.counted()
    send(balancer, TCP, Tcp.syn)
    const now = balancer.halfOpen()
    const ways = entries.filter(entry => now[entry.way]!.check !== entry.check).map(({ way }) => way)
    return { ways, counted: balancer.counted() }
  }

  test('gives the oldest, which is told when it might yet have been answered', async () => {
    for (const [ages, way, syn_evicted] of [
      [[0, 2, 1, 1], 1, 1],
      [[10, 9, 3, 20], 3, 0],
      [[6, 5, 5, 5], 0, 0],
    ] as const) {
      const counted = { forwarded_ring: 1, ...(syn_evicted && { syn_evicted }) }
      assert.deepEqual(await displacedOf(ages), { ways: [way], counted })
    }
  })

  test('gives an empty place before any other, and a SYN its own', async () => {
    using balancer = await open(TCP, { halfOpenBuckets: 1 })
    for (let port = 1; port <= FLOW_WAYS; port++) send(balancer, { ...TCP, sourcePort: port }, Tcp.syn)
    for (const { way } of balancer.halfOpen()) {
      const entries = balancer.halfOpen()
      for (const entry of entries) balancer.writeHalfOpen(aged(entry, 50))
      balancer.writeHalfOpen({ ...entries[way]!, generation: 0, check: 0n })
      send(balancer, { ...TCP, sourcePort: 100 + way }, Tcp.syn)
      const taken = balancer.halfOpen()
      assert.equal(taken.length, FLOW_WAYS)
      for (const other of taken.filter(each => each.way !== way))
        assert.equal(other.check, entries[other.way]!.check)
      send(balancer, { ...TCP, sourcePort: 100 + way }, Tcp.syn)
      assert.deepEqual(
        balancer.halfOpen().map(({ check }) => check),
        taken.map(({ check }) => check),
      )
    }
    assert.equal(balancer.counted().syn_evicted, undefined)
  })

  test('has every place taken in turn while all of them are of one moment', async () => {
    using balancer = await open(TCP, { halfOpenBuckets: 1 })
    const displaced = new Set<number>()
    for (let port = 1; port <= 100; port++) {
      const entries = balancer.halfOpen()
      send(balancer, { ...TCP, sourcePort: port }, Tcp.syn)
      const now = balancer.halfOpen()
      for (const { way, check } of entries) if (now[way]!.check !== check) displaced.add(way)
    }
    assert.deepEqual([...displaced].toSorted(), [0, 1, 2, 3])
  })

  test('lets one that was displaced go on by the ring, counted as one seen in its midst', async () => {
    using balancer = await open(TCP, { halfOpenBuckets: 1 })
    send(balancer, TCP, Tcp.syn)
    for (const entry of balancer.halfOpen()) balancer.writeHalfOpen({ ...entry, generation: 0, check: 0n })
    assert.equal(send(balancer, TCP), A.address)
    assert.deepEqual(balancer.begun(), { confirmed: 0, midway: 1 })
  })

  test('puts SYNs elsewhere under another bucket key, so that nobody can aim at a bucket', async () => {
    const bucketsUnder = async (bucketKey: bigint): Promise<(number | undefined)[]> => {
      using balancer: Balancer = await openBalancer({
        services: [serviceOf(TCP)],
        halfOpenBuckets: 1024,
        bucketKey,
      })
      return Array.from({ length: 32 }, (_, i) => {
        const known = new Set(balancer.halfOpen().map(entry => entry.check ^ identityOf(entry)))
        send(balancer, { ...TCP, sourcePort: 1 + i }, Tcp.syn)
        return balancer.halfOpen().find(entry => !known.has(entry.check ^ identityOf(entry)))?.bucket
      })
    }
    const here = await bucketsUnder(1n)
    assert.ok(new Set(here).size > 16)
    const there = await bucketsUnder(2n)
    assert.ok(here.filter((bucket, i) => bucket === there[i]).length < 8)
  })
})
