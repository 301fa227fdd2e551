import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { structs } from '../../reconciler/drivers/xdp/layout.ts'
import { readMapInfo } from '../../reconciler/drivers/xdp/libbpf/info.ts'
import { readEntries, updateEntry } from '../../reconciler/drivers/xdp/libbpf/maps.ts'
import type { FlowLimit } from '../../schemas/node-state.ts'
import { type Balancer, buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { A, serviceOf, TCP, TCP6, UDP } from './connections.ts'
import { buildFrame, type PacketFields, Tcp } from './packet.ts'

/** Buckets are emptied and filled by hand, so that no test depends on how fast it runs. */
const SLOW: FlowLimit = { perSecond: 1, burst: 3, ipv4Bits: 32, ipv6Bits: 64 }

const open = (packet: PacketFields, limit: Partial<FlowLimit> = {}): Promise<Balancer> =>
  openBalancer({ services: [serviceOf(packet, { flowLimit: { ...SLOW, ...limit }, members: [A] })] })

/** How many of as many new flows are let through. */
function begin(balancer: Balancer, packet: PacketFields, count: number, firstPort = 1): number {
  let taken = 0
  for (let i = 0; i < count; i++) {
    const frame = buildFrame({ ...packet, sourcePort: firstPort + i, tcpFlags: Tcp.syn })
    if (balancer.send(frame).action === 'tx') taken++
  }
  return taken
}

/** Sets the clock of every bucket: ns that it has been paid for in advance, negative when it had a pause. */
async function setAhead(balancer: Balancer, ns: bigint): Promise<number> {
  const fd = balancer.mapFd('flow_limits')
  const { keys, count } = await readEntries(fd, readMapInfo(fd))
  const value = Buffer.alloc(structs.flow_limit.size)
  // The clock began with the machine, which may have started a moment ago.
  const paidUntil = process.hrtime.bigint() + ns
  value.writeBigUInt64LE(paidUntil > 0n ? paidUntil : 0n)
  const { size } = structs.flow_limit_key
  for (let i = 0; i < count; i++) updateEntry(fd, keys.subarray(i * size, (i + 1) * size), value)
  return count
}

const HOUR = 3_600_000_000_000n

suite('a limit of new flows', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, packet] of Object.entries({ TCP, UDP, TCP6 })) {
    test(`drops what is above it, and counts that: ${what}`, async () => {
      using balancer = await open(packet, { burst: 1000 })
      begin(balancer, packet, 1)
      await setAhead(balancer, HOUR)
      balancer.counted()
      assert.equal(begin(balancer, packet, 5, 100), 0)
      assert.deepEqual(balancer.counted(), { drop_flow_limit: 5 })
      assert.equal(balancer.flows().length + balancer.halfOpen().length, 1)
    })

    test(`takes a burst after a pause: ${what}`, async () => {
      using balancer = await open(packet, { burst: 1000 })
      begin(balancer, packet, 1)
      await setAhead(balancer, -HOUR)
      assert.equal(begin(balancer, packet, 20, 100), 20)
      // 990 of 1000 are spent.
      await setAhead(balancer, 990_500_000_000n)
      assert.ok(begin(balancer, packet, 30, 200) >= 9)
      const left = begin(balancer, packet, 300, 300)
      assert.ok(left < 300, `${left} of 300`)
    })
  }

  test('is of the connection, and not of its packets', async () => {
    using balancer = await open(TCP)
    begin(balancer, TCP, 1, 7)
    await setAhead(balancer, HOUR)
    for (let i = 0; i < 9; i++)
      assert.equal(balancer.send(buildFrame({ ...TCP, sourcePort: 7 })).action, 'tx')
    const known = buildFrame({ ...TCP, sourcePort: 7, tcpFlags: Tcp.syn })
    assert.equal(balancer.send(known).action, 'drop', 'a SYN begins another one')
  })

  test('lets connections pass that a node sees in their midst', async () => {
    using balancer = await open(TCP)
    begin(balancer, TCP, 1)
    await setAhead(balancer, HOUR)
    for (let sourcePort = 50; sourcePort < 60; sourcePort++)
      assert.equal(balancer.send(buildFrame({ ...TCP, sourcePort })).action, 'tx')
  })

  /** Sources, and how many buckets they have. */
  const PREFIXES: readonly [Partial<FlowLimit>, PacketFields, readonly string[], number][] = [
    [{ ipv4Bits: 32 }, TCP, ['198.51.100.1', '198.51.100.2', '198.51.100.1'], 2],
    [{ ipv4Bits: 24 }, TCP, ['198.51.100.1', '198.51.100.200', '198.51.101.1'], 2],
    [{ ipv4Bits: 9 }, TCP, ['198.51.100.1', '198.0.0.1', '198.128.0.1'], 2],
    [{ ipv4Bits: 0 }, TCP, ['198.51.100.1', '10.0.0.1'], 1],
    [{ ipv6Bits: 64 }, TCP6, ['2001:db8:1::1', '2001:db8:1::ffff', '2001:db8:1:1::1'], 2],
    [{ ipv6Bits: 56 }, TCP6, ['2001:db8:1::1', '2001:db8:1:ff::1', '2001:db8:1:100::1'], 2],
    [{ ipv6Bits: 127 }, TCP6, ['2001:db8:1::2', '2001:db8:1::3', '2001:db8:1::4'], 2],
    [{ ipv6Bits: 128 }, TCP6, ['2001:db8:1::2', '2001:db8:1::3'], 2],
    [{ ipv6Bits: 0 }, TCP6, ['2001:db8:1::2', 'fd00::1'], 1],
  ]
  for (const [bits, packet, sources, buckets] of PREFIXES) {
    test(`counts sources with the same first bits as one: ${JSON.stringify(bits)} of ${sources.join(', ')}`, async () => {
      using balancer = await open(packet, bits)
      for (const source of sources) begin(balancer, { ...packet, source }, 1)
      assert.equal(await setAhead(balancer, 0n), buckets)
    })
  }

  test('of one service is none of another', async () => {
    using balancer = await openBalancer({
      services: [
        serviceOf(TCP, { flowLimit: SLOW, members: [A] }),
        serviceOf(UDP, { flowLimit: SLOW, members: [A] }),
        serviceOf({ ...TCP, port: 80 }, { members: [A] }),
      ],
    })
    begin(balancer, TCP, 1)
    await setAhead(balancer, HOUR)
    assert.equal(begin(balancer, UDP, 1), 1)
    assert.equal(begin(balancer, { ...TCP, port: 80 }, 50), 50)
    assert.equal(begin(balancer, TCP, 1, 9), 0)
  })
})
