import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { flowsIn } from '../../reconciler/drivers/xdp/capacity.ts'
import {
  FAR_PER_NEAR,
  FLOW_WAYS,
  GENERATION_BITS,
  RING_MEMBERS,
} from '../../reconciler/drivers/xdp/layout.ts'
import { flowHash, splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import { type Balancer, buildObjects, FLEET_KEY, needsRoot, openBalancer } from './balancer.ts'
import { A, B, C, onlyFlow, open, send, serviceOf, TCP, tickNow, UDP } from './connections.ts'
import { aged, type FlowEntry, FlowState, identityOf } from './flow-entry.ts'
import { FULL, newcomers } from './full-buckets.ts'

const BUCKET_KEY = 0x0123456789abcdefn

suite('an entry that is not whole', { skip: needsRoot }, () => {
  before(buildObjects)
  const other = { ...TCP, sourcePort: 40_001 }

  /** Both halves of an entry as two flows, to two backends, wrote them. */
  async function openTorn(): Promise<{ balancer: Balancer; mine: FlowEntry; others: FlowEntry }> {
    const balancer = await open(TCP, { nearBuckets: 1, hasFar: false })
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
    using balancer = await open(TCP, { nearBuckets: 4, hasFar: false })
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
      using balancer = await open(packet, { nearBuckets: 1, hasFar: false, ...syn })
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
    using balancer = await openBalancer({
      services: [serviceOf(TCP), serviceOf(UDP)],
      nearBuckets: 1,
      hasFar: false,
    })
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
  const nearBuckets = 128
  const capacity = flowsIn(nearBuckets * (1 + FAR_PER_NEAR))

  async function fill(flows: number): Promise<number> {
    using balancer = await open(TCP, { nearBuckets })
    for (let sourcePort = 0; sourcePort < flows; sourcePort++) send(balancer, { ...TCP, sourcePort })
    const { forwarded_ring, flow_evicted = 0 } = balancer.counted()
    assert.equal(forwarded_ring, flows)
    assert.equal(balancer.flows().length, flows - flow_evicted)
    return flow_evicted
  }

  test('displaces nearly nothing of what it is made for', async () => {
    assert.ok((await fill(capacity)) <= 1)
  })

  test('displaces less than one flow in a hundred at one and a half times as many', async () => {
    assert.ok((await fill(capacity * 1.5)) < capacity / 100)
  })

  /** Of the flow from a port: its near bucket, its far one, and that one's neighbour. */
  const bucketsFor = (sourcePort: number, near: number): [number, number, number] => {
    const hash = flowHash(splitFleetKey(FLEET_KEY), { ...TCP, sourcePort })
    const [here, there] = bucketsOf(hash, BUCKET_KEY)
    const far = there & (near * FAR_PER_NEAR - 1)
    return [here & (near - 1), near + far, near + (far ^ 1)]
  }

  test('puts a flow into its near bucket, then into its far one, then into the neighbour, and finds it there', async () => {
    const near = 8
    using balancer = await openBalancer({
      services: [serviceOf(TCP)],
      nearBuckets: near,
      bucketKey: BUCKET_KEY,
    })
    const taken = Array<number>(near * (1 + FAR_PER_NEAR)).fill(0)
    const places = [0, 0, 0]
    let sourcePort = 0
    for (; places[2]! < 5; sourcePort++) {
      const buckets = bucketsFor(sourcePort, near)
      const place = buckets.findIndex(bucket => taken[bucket]! < FLOW_WAYS)
      if (place === -1) break
      send(balancer, { ...TCP, sourcePort })
      taken[buckets[place]!]!++
      places[place]!++
      const counts = taken.map(() => 0)
      for (const { bucket } of balancer.flows()) counts[bucket]!++
      assert.deepEqual(counts, taken, `after flow ${sourcePort}`)
    }
    assert.ok(places[2]! > 0, `no flow went to a neighbour: ${places}`)
    balancer.counted()
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    for (let port = 0; port < sourcePort; port++)
      assert.equal(send(balancer, { ...TCP, sourcePort: port }), A.address)
    assert.deepEqual(balancer.counted(), { forwarded_flow: sourcePort })
  })

  test('displaces the longest idle of all three buckets, and nothing else', async () => {
    for (const oldest of [0, 1, 2]) {
      using balancer = await openBalancer({
        services: [serviceOf(TCP)],
        nearBuckets: 1,
        bucketKey: BUCKET_KEY,
      })
      const bucket = bucketsFor(TCP.sourcePort, 1)[oldest]!
      const stamp = tickNow()
      for (let i = 0; i < 5 * FLOW_WAYS; i++) {
        const entry = { bucket: i >> 2, way: i & 3, check: BigInt(i), generation: 77, index: i, stamp }
        balancer.writeFlow(
          aged(
            { ...entry, state: FlowState.confirmed },
            entry.bucket === bucket && entry.way === 2 ? 90 : 50,
          ),
        )
      }
      const before = balancer.flows()
      send(balancer, TCP)
      assert.deepEqual(balancer.counted(), { forwarded_ring: 1, flow_evicted: 1 })
      const changed = balancer.flows().filter(({ check }, i) => check !== before[i]!.check)
      assert.deepEqual(
        changed.map(flow => [flow.bucket, flow.way]),
        [[bucket, 2]],
      )
    }
  })

  test('takes what expired in the far bucket before anything that lives', async () => {
    using balancer = await openBalancer({
      services: [serviceOf(TCP)],
      nearBuckets: 1,
      bucketKey: BUCKET_KEY,
    })
    const [, far, neighbour] = bucketsFor(TCP.sourcePort, 1)
    const stamp = tickNow()
    for (let i = 0; i < 5 * FLOW_WAYS; i++) {
      const [bucket, way] = [i >> 2, i & 3]
      const entry = { bucket, way, check: BigInt(i), generation: 77, index: i, stamp }
      const isExpired = (bucket === far && way === 1) || (bucket === neighbour && way === 0)
      balancer.writeFlow(aged({ ...entry, state: FlowState.fin }, isExpired ? 50 : 20))
    }
    const before = balancer.flows()
    send(balancer, TCP)
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
    const changed = balancer.flows().filter(({ check }, i) => check !== before[i]!.check)
    assert.deepEqual(
      changed.map(flow => [flow.bucket, flow.way]),
      [[far, 1]],
    )
  })

  test('puts flows elsewhere under another bucket key, so that nobody can aim at a bucket', async () => {
    const bucketsUnder = async (bucketKey: bigint): Promise<number[]> => {
      using balancer = await openBalancer({ services: [serviceOf(TCP)], nearBuckets, bucketKey })
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

/** Numbers of the near and the far bucket of a flow, of which the lowest bits count: `bucket_hash` of bpf/hash.h. */
function bucketsOf(hash: bigint, bucketKey: bigint): [number, number] {
  let mixed = BigInt.asUintN(64, (hash ^ bucketKey) * 0xbf58476d1ce4e5b9n)
  mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 29n)) * 0x94d049bb133111ebn)
  mixed ^= mixed >> 32n
  return [Number(mixed >> 32n), Number(mixed & 0xffffffffn)]
}
