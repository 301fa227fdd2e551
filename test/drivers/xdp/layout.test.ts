import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { flowsIn, nearBucketsOf, sizeMaps } from '../../../reconciler/drivers/xdp/capacity.ts'
import { decodeConfig, encodeConfig } from '../../../reconciler/drivers/xdp/config.ts'
import {
  decodeControl,
  decodeRing,
  decodeServiceKey,
  encodeBlankRing,
  encodeControl,
  encodeRing,
  encodeServiceKey,
  FAR_PER_NEAR,
  FLOW_WAYS,
  isBlankRing,
  RING_MEMBERS,
  reasons,
  structs,
} from '../../../reconciler/drivers/xdp/layout.ts'
import { runCommand } from '../../../reconciler/process/run-command.ts'
import { canonicalAddress } from '../../../schemas/address.ts'
import { RING_SLOTS } from '../../../schemas/ring-limits.ts'
import { buildObjects, objectFile } from '../../bpf/balancer.ts'

interface BtfType {
  readonly id: number
  readonly kind: string
  readonly name: string
  readonly size?: number
  readonly nr_elems?: number
  readonly type_id?: number
  readonly members?: readonly { name: string; type_id: number; bits_offset: number }[]
  readonly values?: readonly { name: string; val: number }[]
}

suite('the layout is that of the object', () => {
  let types: readonly BtfType[] = []
  const find = (kind: string, name: string) => {
    const found = types.find(type => type.kind === kind && type.name === name)
    assert.ok(found, `${kind} ${name} is not in the object`)
    return found
  }

  before(async () => {
    await buildObjects()
    const { stdout } = await runCommand('bpftool', ['btf', 'dump', 'file', objectFile('lb'), '--json'])
    types = JSON.parse(stdout).types
  })

  for (const [name, { size, fields }] of Object.entries(structs)) {
    test(`struct ${name}`, () => {
      const found = find('STRUCT', name)
      assert.equal(found.size, size)
      const offsets = found.members!.map(member => [member.name, member.bits_offset / 8])
      assert.deepEqual(Object.fromEntries(offsets), fields)
    })
  }

  test('enum reason', () => {
    const names = find('ENUM', 'reason').values!.filter(({ val }) => val >= 0 && val < reasons.length)
    assert.deepEqual(
      names.map(({ name }) => name.replace('REASON_', '').toLowerCase()),
      reasons,
    )
  })

  test('lengths of arrays', () => {
    const lengthOf = (struct: string, field: string) => {
      const member = find('STRUCT', struct).members!.find(({ name }) => name === field)!
      return types.find(({ id }) => id === member.type_id)!.nr_elems
    }
    assert.equal(lengthOf('ring', 'members'), RING_MEMBERS)
    assert.equal(lengthOf('ring', 'slots'), RING_SLOTS)
    assert.equal(lengthOf('flow_bucket', 'ways'), FLOW_WAYS)
  })
})

const address = fc.oneof(fc.ipV4(), fc.ipV6()).map(canonicalAddress)
/** Plain objects, as everything else makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true })

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const key = record({
  vip: address,
  port: fc.integer({ min: 1, max: 65535 }),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
})

test('a service key, a ring and the control record come back as they were written', () => {
  const member = record({
    address,
    generation: fc.integer({ min: 1, max: 2 ** 24 - 1 }),
    counter: u32,
    weight: fc.integer({ min: 0, max: 65535 }),
  })
  const gue = record({
    variant: fc.constantFrom(0 as const, 1 as const),
    port: fc.integer({ min: 1, max: 65535 }),
  })
  const encapsulation = fc.oneof(
    fc.constant({ encapsulation: 'ipip' as const }),
    fc.constant({ encapsulation: 'l2' as const }),
    gue.map(each => ({ encapsulation: 'gue' as const, gue: each })),
    gue.map(each => ({ encapsulation: 'gue' as const, gue: { ...each, checksum: 'computed' as const } })),
    gue.map(each => ({ encapsulation: 'gue' as const, gue: each, hashBy: 'source' as const })),
  )
  const bareRing = record({
    generation: u32,
    idleTimeout: u32,
    key,
    members: fc.array(fc.option(member, { nil: undefined }), { maxLength: 20 }),
    slots: fc.integer({ min: 0, max: 65535 }).map(first => {
      return Uint16Array.from({ length: RING_SLOTS }, (_, slot) => first + slot * 7)
    }),
  })
  const ring = fc.tuple(bareRing, encapsulation).map(([bare, way]) => ({ ...bare, ...way }))
  const control = record({
    layoutVersion: u32,
    nextGeneration: u32,
    bucketKey: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  })
  fc.assert(
    fc.property(ring, control, (one, other) => {
      assert.deepEqual(decodeServiceKey(encodeServiceKey(one.key)), one.key)
      assert.deepEqual(decodeControl(encodeControl(other)), other)
      assert.deepEqual(decodeRing(encodeRing(one)), one)
    }),
    { numRuns: 50 },
  )
})

test('what is no key and no ring is not taken for one', () => {
  assert.equal(decodeServiceKey(Buffer.alloc(structs.service_key.size)), undefined)
  assert.equal(decodeServiceKey(Buffer.alloc(structs.service_key.size, 6)), undefined)
  assert.equal(decodeRing(Buffer.alloc(structs.ring.size, 0xff)), undefined)
  assert.equal(decodeRing(encodeBlankRing()), undefined)
  assert.ok(isBlankRing(encodeBlankRing()))
})

test('constants of a program come back as they were written', () => {
  const prefix = (family: 4 | 6) =>
    family === 4
      ? fc.tuple(fc.integer({ min: 1, max: 32 }), fc.integer({ min: 1, max: 255 })).map(([length, first]) => {
          return length < 8 ? '128.0.0.0/1' : `${first}.0.0.0/${length}`
        })
      : fc.integer({ min: 48, max: 128 }).map(length => `2001:db8:1::/${length}`)
  const config = record({
    fleetKey: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    bucketKey: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    nearBuckets: fc.integer({ min: 0, max: 24 }).map(bits => 2 ** bits),
    halfOpenBuckets: fc.integer({ min: 0, max: 16 }).map(bits => 2 ** bits),
    object: u32,
    settings: record({
      fleet: fc.stringMatching(/^[a-z0-9-]{1,63}$/),
      sources: record({
        ipv4: fc.oneof(fc.constant(''), prefix(4)),
        ipv6: fc.oneof(fc.constant(''), prefix(6)),
      }),
      mtu: fc.integer({ min: 576, max: 65535 }),
      egress: fc.constantFrom('hairpin' as const, 'fib' as const),
      unmatched: fc.constantFrom('drop' as const, 'pass' as const),
      capacity: record({ flows: u32, services: u32, members: u32 }),
    }),
  })
  fc.assert(
    fc.property(config, one => {
      assert.deepEqual(decodeConfig(encodeConfig(one)), one)
    }),
  )
})

test('the far buckets of the flow table alone have two entries for each flow that it is sized for', () => {
  for (const flows of [1, 1000, 131_072, 1_000_000, 1_048_576, 1_048_577]) {
    const { flows: buckets } = sizeMaps({ flows, services: 1, members: 1 })
    const near = nearBucketsOf(buckets)
    assert.ok(flows <= (near * FAR_PER_NEAR * FLOW_WAYS) / 2, `${flows} flows in ${buckets} buckets`)
    assert.equal(near & (near - 1), 0)
    assert.ok(flows <= flowsIn(buckets))
  }
  assert.equal(sizeMaps({ flows: 1_048_576, services: 1, members: 1 }).flows, 5 * 2 ** 17)
  assert.equal(flowsIn(5 * 2 ** 17), 2 ** 20)
  assert.equal(flowsIn(2 ** 19), 2 ** 20, 'of an earlier version')
})

test('the table of SYNs follows the flow table, and is never larger than the program can name', () => {
  const bucketsFor = (flows: number): number => sizeMaps({ flows, services: 1, members: 1 }).half_open
  assert.deepEqual(
    [1, 262_144, 1_000_000, 64_000_000, 1e9].map(bucketsFor),
    [1024, 1024, 4096, 65_536, 65_536],
  )
})
