import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { addressToBytes } from '../../schemas/address.ts'
import { buildObjects, member, needsRoot, openBalancer } from './balancer.ts'
import { type Decapsulator, openDecapsulator } from './decapsulator.ts'
import {
  buildFrame,
  ETHERNET_BYTES,
  encapsulate,
  internetChecksum,
  type PacketFields,
  wrapTransport,
} from './packet.ts'

const BACKEND: Readonly<Record<4 | 6, string>> = { 4: '10.9.0.1', 6: '2001:db8:9::1' }
const from4 = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.10',
  port: 443,
  protocol: 'tcp',
  payload: Buffer.from('the quick brown fox'),
} as const
const from6 = { ...from4, source: '2001:db8:1::7', vip: '2001:db8:ffff::10' } as const

/** A frame as a balancer sends it to this backend. */
function outerOf(frame: Buffer, outer: 4 | 6): Buffer {
  const bytes = (text: string): Uint8Array => addressToBytes(text).subarray(outer === 4 ? 12 : 0)
  return encapsulate(frame, {
    source: bytes(outer === 4 ? '10.64.0.1' : '2001:db8:64::1'),
    destination: bytes(BACKEND[outer]),
    flowLabel: 0x54321,
    ethernet: { to: '02:00:00:00:00:04', from: '02:00:00:00:00:03' },
  })
}

/** The inner packet behind the Ethernet addresses of the outer frame. */
const unwrapped = (inner: Buffer, outer: Buffer): Buffer =>
  Buffer.concat([outer.subarray(0, 12), inner.subarray(12)])

const PACKETS: readonly { what: string; packet: PacketFields }[] = [
  { what: 'IPv4 TCP', packet: from4 },
  { what: 'IPv4 UDP', packet: { ...from4, protocol: 'udp' } },
  { what: 'IPv6 TCP', packet: from6 },
  { what: 'IPv6 UDP', packet: { ...from6, protocol: 'udp' } },
  { what: 'IPv4 TCP without data, padded', packet: { ...from4, payload: new Uint8Array() } },
  { what: 'IPv4 with options', packet: { ...from4, options: Buffer.alloc(8, 1) } },
  { what: 'an IPv4 packet as large as fits', packet: { ...from4, payload: Buffer.alloc(1420, 7) } },
]

const NOT_ECT = 0
const ECT_1 = 1
const ECT_0 = 2
const CE = 3
const DSCP = 0xb8

/** RFC 6040, figure 4. */
const CONGESTION: readonly { inner: number; outer: number; after: number | 'drop' }[] = [
  { inner: NOT_ECT, outer: NOT_ECT, after: NOT_ECT },
  { inner: NOT_ECT, outer: ECT_0, after: NOT_ECT },
  { inner: NOT_ECT, outer: CE, after: 'drop' },
  { inner: ECT_0, outer: ECT_0, after: ECT_0 },
  { inner: ECT_0, outer: CE, after: CE },
  { inner: ECT_1, outer: ECT_1, after: ECT_1 },
  { inner: ECT_1, outer: CE, after: CE },
  { inner: CE, outer: ECT_0, after: CE },
  { inner: CE, outer: CE, after: CE },
]

suite('the decapsulator of a backend', { skip: needsRoot }, () => {
  let backend: Decapsulator
  before(async () => {
    await buildObjects()
    backend = await openDecapsulator()
  })
  after(() => backend?.[Symbol.dispose]())

  const decap = (frame: Buffer) => backend.send(frame)

  for (const outer of [4, 6] as const) {
    for (const { what, packet } of PACKETS) {
      test(`gives back what was encapsulated in IPv${outer}: ${what}`, () => {
        const frame = buildFrame(packet)
        const padded = Buffer.concat([frame, Buffer.alloc(Math.max(0, 60 - frame.length))])
        const encapsulated = outerOf(padded, outer)
        const received = decap(encapsulated)
        assert.equal(received.action, 'pass')
        assert.equal(received.frame.toString('hex'), unwrapped(padded, encapsulated).toString('hex'))
      })
    }
  }

  test('undoes what the balancer does, for every pair of families', async () => {
    const services = ([4, 6] as const).flatMap((family, id) =>
      (['tcp', 'udp'] as const).flatMap(protocol =>
        [from4, from6].map(({ vip }) => ({
          vip,
          port: 1000 + id,
          protocol,
          members: [member(BACKEND[family])],
          slots: 0,
        })),
      ),
    )
    using balancer = await openBalancer({ services })
    for (const { vip, port, protocol } of services) {
      const frame = buildFrame({ ...(vip === from4.vip ? from4 : from6), port, protocol })
      const sent = balancer.send(frame)
      assert.equal(sent.action, 'tx')
      const received = decap(sent.frame)
      assert.equal(received.action, 'pass')
      assert.equal(received.frame.toString('hex'), unwrapped(frame, sent.frame).toString('hex'))
    }
  })

  for (const family of [4, 6] as const) {
    for (const { inner, outer, after } of CONGESTION) {
      test(`carries congestion inwards: IPv${family}, inner ${inner}, outer ${outer}: ${after}`, () => {
        const base = family === 4 ? from4 : from6
        const frame = buildFrame({ ...base, traffic: DSCP | inner })
        const marked = withTraffic(outerOf(frame, family), DSCP | outer)
        const received = decap(marked)
        if (after === 'drop') return assert.equal(received.action, 'drop')
        const expected = buildFrame({ ...base, traffic: DSCP | after })
        assert.equal(received.action, 'pass')
        assert.equal(received.frame.toString('hex'), unwrapped(expected, marked).toString('hex'))
      })
    }
  }

  test('corrects the checksum for every header that congestion marks', () => {
    for (let ttl = 1; ttl < 256; ttl++) {
      for (const ecn of [ECT_0, ECT_1]) {
        const frame = buildFrame({ ...from4, ttl, source: `10.${ttl}.255.${255 - ttl}`, traffic: ecn })
        const { frame: received } = decap(withTraffic(outerOf(frame, 4), CE))
        const header = received.subarray(ETHERNET_BYTES, ETHERNET_BYTES + 20)
        assert.equal(internetChecksum(header), 0, header.toString('hex'))
      }
    }
  })

  test('takes from load balancers alone, and for VIPs of its own alone', () => {
    for (const [outer, other] of [
      [4, '198.51.100.99'],
      [6, '2001:db8:65::1'],
    ] as const) {
      backend.counted()
      const sent = outerOf(buildFrame(from4), outer)
      assert.deepEqual([decap(sent).action, backend.counted()], ['pass', { ipip: 1 }])

      const from = addressToBytes(other).subarray(outer === 4 ? 12 : 0)
      const forged = Buffer.from(sent)
      forged.set(from, ETHERNET_BYTES + (outer === 4 ? 12 : 8))
      const passed = decap(forged)
      assert.equal(passed.frame.toString('hex'), forged.toString('hex'))
      assert.deepEqual([passed.action, backend.counted()], ['pass', { pass_source: 1 }])

      for (const fields of [
        { ...from4, vip: '203.0.114.10' },
        { ...from6, vip: '2001:db8:fffe::10' },
      ]) {
        const { action } = decap(outerOf(buildFrame(fields), outer))
        assert.deepEqual([action, backend.counted()], ['drop', { drop_vip: 1 }])
      }
    }
  })

  test('passes everything else untouched', () => {
    const inner = buildFrame(from4)
    const outer = outerOf(inner, 4)
    const patched = (at: number, byte: number): Buffer => {
      const copy = Buffer.from(outer)
      copy[at] = byte
      return copy
    }
    const frames = {
      'IPv4, not encapsulated': inner,
      'IPv6, not encapsulated': buildFrame(from6),
      ARP: patched(13, 0x06),
      'an outer fragment': patched(20, 0x20),
      'a later outer fragment': patched(21, 1),
      'outer options': wrapTransport({ ...from4, options: Buffer.alloc(4, 1) }, 4, inner.subarray(14)),
      'an outer header of another version': patched(14, 0x65),
      'GRE in IPv4': patched(23, 47),
    }
    for (const [what, frame] of Object.entries(frames)) {
      const received = decap(frame)
      assert.equal(received.action, 'pass', what)
      assert.equal(received.frame.toString('hex'), frame.toString('hex'), what)
    }
  })

  test('never gives the kernel a part of an inner header', () => {
    for (const family of [4, 6] as const) {
      for (const [inner, header] of [
        [buildFrame(from4), 20],
        [buildFrame(from6), 40],
      ] as const) {
        const whole = outerOf(inner, family)
        const headers = ETHERNET_BYTES + (family === 4 ? 20 : 40)
        for (let length = ETHERNET_BYTES; length <= whole.length; length++) {
          const { action, frame } = decap(whole.subarray(0, length))
          if (length < headers) assert.deepEqual([action, frame.length], ['pass', length])
          else if (length < headers + header) assert.equal(action, 'drop')
          else assert.deepEqual([action, frame.length], ['pass', length - headers + ETHERNET_BYTES])
        }
      }
    }
  })

  test('drops what is not of the family that the outer header says', () => {
    const frame = outerOf(buildFrame(from4), 4)
    frame[23] = 41
    backend.counted()
    assert.deepEqual([decap(frame).action, backend.counted()], ['drop', { drop_malformed: 1 }])
    const frame6 = outerOf(buildFrame(from6), 6)
    frame6[20] = 4
    assert.equal(decap(frame6).action, 'drop')
  })
})

/** With another type of service or traffic class in the outer header. */
function withTraffic(frame: Buffer, traffic: number): Buffer {
  const copy = Buffer.from(frame)
  const ip = copy.subarray(ETHERNET_BYTES)
  if (ip[0]! >> 4 === 6) {
    ip.writeUInt32BE(((ip.readUInt32BE(0) & 0xf00fffff) | (traffic << 20)) >>> 0, 0)
  } else {
    ip[1] = traffic
    ip.writeUInt16BE(0, 10)
    ip.writeUInt16BE(internetChecksum(ip.subarray(0, 20)), 10)
  }
  return copy
}
