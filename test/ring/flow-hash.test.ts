import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import {
  type FlowTuple,
  fleetKeyFingerprint,
  fleetKeyFromName,
  flowHash,
  slotOf,
  splitFleetKey,
} from '../../reconciler/ring/flow-hash.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'

const key = splitFleetKey(Uint8Array.from({ length: 16 }, (_, i) => i))
const port = fc.integer({ min: 1, max: 65535 })
const tupleOf = (address: fc.Arbitrary<string>): fc.Arbitrary<FlowTuple> =>
  fc.record({
    source: address,
    sourcePort: port,
    vip: address,
    port,
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
  })
const tuple = fc.oneof(tupleOf(fc.ipV4()), tupleOf(fc.ipV6()))

const tuple4: FlowTuple = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.10',
  port: 443,
  protocol: 'tcp',
}
const tuple6: FlowTuple = { ...tuple4, source: '2001:db8:1::7', vip: '2001:db8:ffff::10' }

suite('the hash of a flow', () => {
  test('does not change between versions: a fleet is updated node by node (rule 4)', () => {
    assert.equal(flowHash(key, tuple4).toString(16), '35d23dcfe537ab7c')
    assert.equal(flowHash(key, tuple6).toString(16), '68ed1149f56bf06d')
    assert.equal(slotOf(flowHash(key, tuple4)), 13778)
    assert.equal(slotOf(flowHash(key, tuple6)), 26861)
  })

  test('does not depend on how an address is written', () => {
    const mapped = { ...tuple4, source: '::ffff:198.51.100.7', vip: '::ffff:cb00:710a' }
    assert.equal(flowHash(key, mapped), flowHash(key, tuple4))
    const long = { ...tuple6, source: '2001:0DB8:0001:0000:0000:0000:0000:0007' }
    assert.equal(flowHash(key, long), flowHash(key, tuple6))
  })

  test('differs when any one field of a flow, or the key, does', () => {
    const others: Partial<FlowTuple>[] = [
      { sourcePort: 40_001 },
      { port: 444 },
      { protocol: 'udp' },
      { sourcePort: 443, port: 40_000 },
    ]
    for (const flow of [tuple4, tuple6]) {
      const hashes = others.map(other => flowHash(key, { ...flow, ...other }))
      hashes.push(flowHash(key, flow))
      hashes.push(flowHash(key, { ...flow, source: flow.vip, vip: flow.source }))
      hashes.push(flowHash({ ...key, k0: key.k0 ^ 1n }, flow), flowHash({ ...key, k1: key.k1 ^ 1n }, flow))
      assert.equal(new Set(hashes).size, hashes.length)
    }
  })

  test('is 64 bits, and its slot one of the ring', () => {
    fc.assert(
      fc.property(tuple, flow => {
        const hash = flowHash(key, flow)
        assert.equal(BigInt.asUintN(64, hash), hash)
        assert.ok(slotOf(hash) >= 0 && slotOf(hash) < RING_SLOTS)
      }),
    )
    assert.equal(slotOf(0n), 0)
    assert.equal(slotOf(2n ** 64n - 1n), RING_SLOTS - 1)
  })

  test('spreads neighbouring sources and ports evenly', () => {
    const buckets = new Uint32Array(64)
    for (let i = 0; i < 32; i++) {
      for (let j = 0; j < 512; j++) {
        const flow = { ...tuple4, source: `10.0.${i >> 2}.${(i & 3) * 64}`, sourcePort: 32_768 + j }
        buckets[Math.floor((slotOf(flowHash(key, flow)) * 64) / RING_SLOTS)]!++
      }
    }
    const expected = (32 * 512) / 64
    const chiSquare = buckets.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    assert.ok(chiSquare < 104, `63 degrees of freedom exceed 104 once in 1,000 times; ${chiSquare}`)
  })

  test('changes half of its bits when one bit of a flow changes', () => {
    const bits = (n: bigint): number => n.toString(2).replaceAll('0', '').length
    let changed = 0
    for (let bit = 0; bit < 16; bit++) {
      for (let sourcePort = 1000; sourcePort < 1064; sourcePort++) {
        const a = flowHash(key, { ...tuple6, sourcePort })
        changed += bits(a ^ flowHash(key, { ...tuple6, sourcePort: sourcePort ^ (1 << bit) }))
      }
    }
    const mean = changed / (16 * 64)
    assert.ok(Math.abs(mean - 32) < 0.6, `${mean} of 64 bits`)
  })
})

suite('the fleet key', () => {
  test('is two little-endian words of 8 bytes', () => {
    assert.deepEqual(key, { k0: 0x0706050403020100n, k1: 0x0f0e0d0c0b0a0908n })
    assert.throws(() => splitFleetKey(new Uint8Array(15)), TypeError)
    assert.throws(() => splitFleetKey(new Uint8Array(17)), TypeError)
  })

  test('can be a part of a larger buffer', () => {
    const bytes = Uint8Array.from({ length: 20 }, (_, i) => i - 3)
    assert.deepEqual(splitFleetKey(bytes.subarray(3, 19)), key)
  })

  test('follows from the name of a fleet that has no secret one', () => {
    const fromName = fleetKeyFromName('example')
    assert.equal(Buffer.from(fromName).toString('hex'), 'c10970f85031743285ab28e17ebf2892')
    assert.notDeepEqual(fromName, fleetKeyFromName('Example'))
  })

  test('is told from others by a fingerprint', () => {
    assert.equal(fleetKeyFingerprint(fleetKeyFromName('example')), '2d860f93d1f8d691')
    assert.match(fleetKeyFingerprint(new Uint8Array(16)), /^[0-9a-f]{16}$/)
  })
})
