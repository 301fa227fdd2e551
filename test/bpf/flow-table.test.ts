import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { FLOW_WAYS, GENERATION_BITS, RING_MEMBERS } from '../../reconciler/drivers/xdp/layout.ts'
import { flowHash, splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import { type Balancer, buildObjects, FLEET_KEY, needsRoot, openBalancer } from './balancer.ts'
import { A, B, C, onlyFlow, open, send, serviceOf, TCP, tickNow, UDP } from './connections.ts'
import { aged, type FlowEntry, FlowState, identityOf } from './flow-entry.ts'
import { FULL, newcomers } from './full-buckets.ts'

suite('an entry that is not whole', { skip: needsRoot }, () => {
  before(buildObjects)
  const other = { ...TCP, sourcePort: 40_001 }

  /** Both halves of an entry as two flows, to two backends, wrote them. */
  async function openTorn(): Promise<{ balancer: Balancer; mine: FlowEntry; others: FlowEntry }> {
    const balancer = await open(TCP, { flowBuckets: 1 })
    send(balancer, TCP)
    const mine = onlyFlow(balancer)
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    send(balancer, other)
    const others = balancer.flows().find(({ way }) => way !== mine.way)!
    balancer.writeFlow({ ...others, generation: 0 })
    balancer.counted()
    return { balancer, mine, others }
  }

  test('matches neither flow: check of the one, backend of the other', async () => {
    for (const swapped of [false, true]) {
      const { balancer, mine, others } = await openTorn()
      using _ = balancer
      balancer.writeFlow(
        swapped ? { ...mine, check: others.check } : { ...others, way: mine.way, check: mine.check },
      )
      await balancer.swapRing(0, serviceOf(TCP, { members: [A, B, C], slots: 2 }))
      assert.equal(send(balancer, TCP), C.address)
      assert.equal(send(balancer, other), C.address)
      assert.deepEqual(balancer.counted(), { forwarded_ring: 2 })
    }
  })

  test('does no harm when both halves name the same backend', async () => {
    const { balancer, mine } = await openTorn()
    using _ = balancer
    balancer.writeFlow({ ...mine, stamp: mine.stamp - 1, state: FlowState.syn })
    assert.equal(send(balancer, TCP), A.address)
    assert.equal(onlyFlow(balancer).state, FlowState.confirmed)
  })

  test('does not match by chance, as garbage', async () => {
    using balancer = await open(TCP, { flowBuckets: 4 })
    const garbage = fc.record({
      check: fc.bigInt(0n, 2n ** 64n - 1n),
      generation: fc.nat(2 ** GENERATION_BITS - 1),
      index: fc.nat(4095),
      stamp: fc.nat(0xffffff),
      state: fc.nat(15),
    })
    fc.assert(
      fc.property(
        fc.array(garbage, { minLength: 16, maxLength: 16 }),
        fc.nat(65_535),
        (entries, sourcePort) => {
          for (const [i, entry] of entries.entries()) {
            balancer.writeFlow({ ...entry, bucket: i >> 2, way: i & 3 })
          }
          balancer.counted()
          assert.equal(send(balancer, { ...TCP, sourcePort }), A.address)
          const { forwarded_flow = 0, flow_rehashed = 0 } = balancer.counted()
          assert.deepEqual([forwarded_flow, flow_rehashed], [0, 0])
        },
      ),
    )
  })

  test('is hashed again when only its index is beyond all members', async () => {
    using balancer = await open(TCP)
    send(balancer, TCP)
    const entry = onlyFlow(balancer)
    const tag = entry.check ^ identityOf(entry)
    assert.equal(tag, flowHash(splitFleetKey(FLEET_KEY), TCP))
    for (const index of [RING_MEMBERS, 4095]) {
      const beyond = { ...entry, index }
      balancer.writeFlow({ ...beyond, check: tag ^ identityOf(beyond) })
      balancer.counted()
      assert.equal(send(balancer, TCP), A.address)
      assert.deepEqual(balancer.counted(), { flow_rehashed: 1, forwarded_ring: 1 })
    }
  })

  test('with generation 0 is empty, also for the flow that its check names', async () => {
    using balancer = await open(TCP, { members: [undefined, B], slots: 1 })
    const tag = flowHash(splitFleetKey(FLEET_KEY), TCP)
    for (let bucket = 0; bucket < 16; bucket++) {
      const empty = { bucket, way: 0, generation: 0, index: 0, stamp: tickNow(), state: FlowState.confirmed }
      balancer.writeFlow({ ...empty, check: tag })
    }
    assert.equal(send(balancer, TCP), B.address)
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
  })
})

suite('a full bucket', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const { what, entries, newcomer, takes, evicts } of FULL) {
    test(what, async () => {
      const packet = newcomer === 'udp' ? UDP : TCP
      // SYNs have a table of their own, save where the kernel's load balancer has the service besides.
      const syn = newcomer === 'syn' && ({ handover: 'from-ipvs' } as const)
      using balancer = await open(packet, { flowBuckets: 1, ...syn })
      const now = tickNow()
      for (const [way, [state, idle]] of entries.entries()) {
        const fresh = { bucket: 0, way, check: BigInt(way), generation: 77, index: way, stamp: now, state }
        balancer.writeFlow(aged(fresh, idle))
      }
      const before = balancer.flows()
      assert.equal(send(balancer, packet, newcomers[newcomer]), A.address)
      const changed = balancer.flows().filter(({ way, check }) => check !== before[way]!.check)
      assert.deepEqual(
        changed.map(({ way }) => way),
        takes === 'nothing' ? [] : [takes],
      )
      const counted = takes === 'nothing' ? { forwarded_untracked: 1 } : { forwarded_ring: 1 }
      assert.deepEqual(balancer.counted(), evicts ? { ...counted, flow_evicted: 1 } : counted)
      assert.equal(balancer.countedFor(A).newFlows, takes === 'nothing' ? 0 : 1)
    })
  }

  test('forwards by the ring what it has no room for, alike for every packet', async () => {
    using balancer = await openBalancer({ services: [serviceOf(TCP), serviceOf(UDP)], flowBuckets: 1 })
    for (let sourcePort = 1; sourcePort <= FLOW_WAYS; sourcePort++) send(balancer, { ...TCP, sourcePort })
    balancer.counted()
    for (let i = 0; i < 3; i++) assert.equal(send(balancer, UDP), A.address)
    assert.deepEqual(balancer.counted(), { forwarded_untracked: 3 })
    for (let sourcePort = 1; sourcePort <= FLOW_WAYS; sourcePort++) send(balancer, { ...TCP, sourcePort })
    assert.deepEqual(balancer.counted(), { forwarded_flow: FLOW_WAYS })
  })
})

suite('the flow table', { skip: needsRoot }, () => {
  before(buildObjects)
  const flowBuckets = 512
  const places = flowBuckets * FLOW_WAYS

  async function fill(flows: number): Promise<number> {
    using balancer = await open(TCP, { flowBuckets })
    for (let sourcePort = 0; sourcePort < flows; sourcePort++) send(balancer, { ...TCP, sourcePort })
    const { forwarded_ring, flow_evicted = 0 } = balancer.counted()
    assert.equal(forwarded_ring, flows)
    assert.equal(balancer.flows().length, flows - flow_evicted)
    return flow_evicted
  }

  test('displaces nearly nothing at half load', async () => {
    assert.ok((await fill(places / 2)) <= 1)
  })

  test('displaces less than one flow in a hundred at three quarters', async () => {
    assert.ok((await fill((places * 3) / 4)) < places / 100)
  })

  test('puts a flow into its first bucket while that has at most one, else into the emptier', async () => {
    const bucketKey = 0x0123456789abcdefn
    using balancer = await openBalancer({ services: [serviceOf(TCP)], flowBuckets: 64, bucketKey })
    const taken = Array<number>(64).fill(0)
    const second: number[] = []
    for (let sourcePort = 0; sourcePort < 140; sourcePort++) {
      const buckets = bucketsOf(flowHash(splitFleetKey(FLEET_KEY), { ...TCP, sourcePort }), bucketKey)
      const [here, there] = buckets.map(bucket => bucket & 63) as [number, number]
      const wanted = taken[here]! > 1 && taken[there]! < taken[here]! ? there : here
      send(balancer, { ...TCP, sourcePort })
      taken[wanted]!++
      if (wanted !== here) second.push(sourcePort)
      const counts = Array<number>(64).fill(0)
      for (const { bucket } of balancer.flows()) counts[bucket]!++
      assert.deepEqual(counts, taken, `after flow ${sourcePort}`)
    }
    assert.ok(second.length > 5 && second[0]! > 10, second.join(', '))
  })

  test('puts flows elsewhere under another bucket key, so that nobody can aim at a bucket', async () => {
    const bucketsUnder = async (bucketKey: bigint): Promise<number[]> => {
      using balancer = await openBalancer({ services: [serviceOf(TCP)], flowBuckets, bucketKey })
      return Array.from({ length: 64 }, (_, sourcePort) => {
        send(balancer, { ...TCP, sourcePort })
        const hash = flowHash(splitFleetKey(FLEET_KEY), { ...TCP, sourcePort })
        return balancer.flows().find(flow => (flow.check ^ identityOf(flow)) === hash)!.bucket
      })
    }
    const here = await bucketsUnder(1n)
    const there = await bucketsUnder(2n)
    assert.deepEqual(here, await bucketsUnder(1n))
    assert.ok(here.filter((bucket, i) => bucket === there[i]).length < 8)
  })
})

/** Both candidate buckets of a flow, of which the lowest bits count: `bucket_hash` of bpf/hash.h. */
function bucketsOf(hash: bigint, bucketKey: bigint): [number, number] {
  let mixed = BigInt.asUintN(64, (hash ^ bucketKey) * 0xbf58476d1ce4e5b9n)
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 29n)) * 0x94d049bb133111ebn)
  mixed ^= mixed >> 32n
  return [Number(mixed >> 32n), Number(mixed & 0xffffffffn)]
}
