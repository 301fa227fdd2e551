import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { addressFromBytes } from '../../schemas/address.ts'
import {
  type Balancer,
  buildObjects,
  member,
  needsRoot,
  openBalancer,
  type ServiceFields,
} from './balancer.ts'
import { A, B, C, serviceOf, UDP, UDP6 } from './connections.ts'
import { encapsulatedTo } from './expected.ts'
import { buildFrame, ETHERNET_BYTES, type PacketFields } from './packet.ts'

const SERVERS = { 0: '0a01', 1: '0a02' } as const
const quic = { configId: 5, serverIds: SERVERS }

/** RFC 9000, 17.3: 0, 1 (fixed), spin and others; the connection id; the rest. */
const shortHeader = (id: string, first = 0x40): Buffer =>
  Buffer.concat([Buffer.from([first]), Buffer.from(id, 'hex'), Buffer.alloc(24, 0xee)])

/** RFC 9000, 17.2: form, fixed, type; version; length of the id; the id. */
const longHeader = (id: string, version: number, type = 0xc0): Buffer => {
  const bytes = Buffer.from(id, 'hex')
  const header = Buffer.alloc(6)
  header.writeUInt8(type, 0)
  header.writeUInt32BE(version, 1)
  header.writeUInt8(bytes.length, 5)
  return Buffer.concat([header, bytes, Buffer.alloc(1180, 0xee)])
}

/** Config id 5, length bits at random, server id, nonce. */
const idOf = (server: string, first = 0xb7): string => `${first.toString(16)}${server}c0ffee11223344`

const open = (fields: Partial<ServiceFields> = {}, packet: PacketFields = UDP): Promise<Balancer> =>
  openBalancer({ services: [serviceOf(packet, { quic, ...fields })] })

function backendOf(
  balancer: Balancer,
  payload: Buffer,
  fields: Partial<PacketFields> = {},
): string | undefined {
  const { action, frame } = balancer.send(buildFrame({ ...UDP, ...fields, payload }))
  const to = frame.subarray(ETHERNET_BYTES + 16, ETHERNET_BYTES + 20)
  return action === 'tx' ? [...to].join('.') : undefined
}

suite('a QUIC packet', { skip: needsRoot }, () => {
  before(buildObjects)

  test('with a short header goes, byte for byte, where its connection id says, from any address', async () => {
    using balancer = await open()
    for (const [source, sourcePort] of [
      ['198.51.100.7', 40_000],
      ['198.51.100.7', 40_001],
      ['203.0.113.200', 9],
    ] as const)
      for (const [server, to] of [
        ['0a01', A.address],
        ['0a02', B.address],
      ] as const) {
        const packet = { ...UDP, source, sourcePort, payload: shortHeader(idOf(server)) }
        const frame = buildFrame(packet)
        const sent = balancer.send(frame)
        assert.equal(sent.frame.toString('hex'), encapsulatedTo(to, frame, packet).toString('hex'))
        assert.deepEqual(balancer.counted(), { forwarded_quic: 1 })
      }
    assert.deepEqual(balancer.flows(), [], 'no flow entry is made')
    assert.equal(balancer.countedFor(B).packets, 3)
    assert.equal(balancer.countedFor(B).newFlows, 0)
  })

  test('over IPv6 does too', async () => {
    const members = [member('2001:db8:9::1'), member('2001:db8:9::2', { generation: 2, counter: 1 })]
    using balancer = await open({ members }, UDP6)
    const packet = { ...UDP6, payload: shortHeader(idOf('0a02')) }
    const frame = buildFrame(packet)
    const expected = encapsulatedTo('2001:db8:9::2', frame, packet)
    assert.equal(balancer.send(frame).frame.toString('hex'), expected.toString('hex'))
    assert.equal(
      addressFromBytes(expected.subarray(ETHERNET_BYTES + 24, ETHERNET_BYTES + 40)),
      '2001:db8:9::2',
    )
  })

  for (const [version, name] of [
    [1, '1'],
    [0x6b3343cf, '2'],
    [0xfaceb00c, 'unknown'],
  ] as const) {
    test(`with a long header goes by its flow, whatever its id names: version ${name}`, async () => {
      using balancer = await open()
      assert.equal(backendOf(balancer, longHeader(idOf('0a02'), version)), A.address)
      assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
      await balancer.swapRing(0, serviceOf(UDP, { quic, slots: 1 }))
      const handshake = longHeader(idOf('0a02'), version, 0xe0)
      assert.equal(backendOf(balancer, handshake), A.address, 'the rest of the handshake follows')
      assert.deepEqual(balancer.counted(), { forwarded_flow: 1 })
    })
  }

  test('whose id names nobody goes by its flow, and is counted', async () => {
    using balancer = await open()
    assert.equal(backendOf(balancer, shortHeader(idOf('0b01'))), A.address)
    assert.deepEqual(balancer.counted(), { quic_unknown_id: 1, forwarded_ring: 1 })
  })

  test('of another config id goes by its flow: 7 is that of servers that have none', async () => {
    using balancer = await open()
    for (let config = 0; config < 8; config++) {
      const id = idOf('0a02', (config << 5) | 9).padStart(20, '0')
      assert.equal(backendOf(balancer, shortHeader(id)), config === 5 ? B.address : A.address)
    }
    assert.equal(balancer.counted().quic_unknown_id, undefined)
  })

  test('too short for an id goes by its flow', async () => {
    using balancer = await open()
    for (const length of [0, 1, 2, 9])
      assert.equal(backendOf(balancer, shortHeader(idOf('0a02')).subarray(0, length)), A.address)
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02')).subarray(0, 10)), B.address)
  })

  test('goes to a drained backend, and not to one that was removed', async () => {
    using balancer = await open()
    await balancer.swapRing(0, serviceOf(UDP, { quic, members: [A, { ...B, weight: 0 }] }))
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02'))), B.address)
    balancer.counted()
    await balancer.swapRing(0, serviceOf(UDP, { quic, members: [A, undefined] }))
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02'))), A.address)
    assert.deepEqual(balancer.counted(), { quic_unknown_id: 1, forwarded_ring: 1 })
  })

  test('is not led by a flow entry that says something else', async () => {
    using balancer = await open()
    assert.equal(backendOf(balancer, longHeader('00', 1)), A.address)
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02'))), B.address)
  })

  test('is let in by the access list, whatever its id', async () => {
    using balancer = await open({ access: { otherwise: 'deny', allow: ['10.0.0.0/8'], deny: [] } })
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02'))), undefined)
    assert.deepEqual(balancer.counted(), { drop_access: 1 })
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02')), { source: '10.1.1.1' }), B.address)
  })

  test('of a service without quic is a UDP packet as any other', async () => {
    using balancer = await openBalancer({ services: [serviceOf(UDP)] })
    assert.equal(backendOf(balancer, shortHeader(idOf('0a02'))), A.address)
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
  })

  test('is found by server ids of any length that names backends', async () => {
    const ids = fc
      .integer({ min: 1, max: 8 })
      .chain(bytes =>
        fc
          .uniqueArray(fc.bigInt(0n, 256n ** BigInt(bytes) - 1n), { minLength: 3, maxLength: 3 })
          .map(list => list.map(id => id.toString(16).padStart(2 * bytes, '0'))),
      )
    await fc.assert(
      fc.asyncProperty(ids, fc.nat(6), fc.nat(31), async ([a, b, c], configId, low) => {
        using balancer = await open({
          members: [A, B, C],
          quic: { configId, serverIds: { 0: a!, 1: b!, 2: c! } },
        })
        const first = ((configId << 5) | low).toString(16).padStart(2, '0')
        for (const [id, to] of [
          [a, A],
          [b, B],
          [c, C],
        ] as const)
          assert.equal(backendOf(balancer, shortHeader(`${first}${id}5eed5eed`)), to.address)
      }),
      { numRuns: 12 },
    )
  })
})
