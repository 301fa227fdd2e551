import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { type Balancer, buildObjects, member, needsRoot, openBalancer } from './balancer.ts'
import { buildFrame, ETHERNET_BYTES, type PacketFields } from './packet.ts'

const from4 = {
  source: '198.51.100.7',
  sourcePort: 40_000,
  vip: '203.0.113.10',
  port: 443,
  protocol: 'tcp',
  payload: Buffer.alloc(9, 0x55),
} as const
const from6 = { ...from4, source: '2001:db8:1::7', vip: '2001:db8:ffff::10' } as const

const KINDS: readonly PacketFields[] = [
  from4,
  { ...from4, port: 53, protocol: 'udp' },
  { ...from4, options: Buffer.alloc(12, 1) },
  from6,
  { ...from6, port: 53, protocol: 'udp' },
]

const PROTOCOL_NAMES = new Map([
  [6, 'tcp'],
  [17, 'udp'],
])
const HEADER_BYTES = new Map([
  [6, 20],
  [17, 8],
])

/** Whether a frame is a whole packet to one of the services, by another reading of the headers than the program's. */
function mustForward(frame: Buffer): boolean {
  if (frame[0]! & 1) return false
  const ip = frame.subarray(ETHERNET_BYTES)
  const ethertype = frame.toString('hex', 12, 14)
  const version = ip.length === 0 ? 0 : ip[0]! >> 4
  if (ethertype === '0800' && version === 4 && ip.length >= 20) {
    const header = (ip[0]! & 15) * 4
    const length = ip.readUInt16BE(2)
    const fragment = ip.readUInt16BE(6) & 0x3fff
    if (header < 20 || length > ip.length || fragment !== 0) return false
    return isService(ip.toString('hex', 16, 20), ip[9]!, ip.subarray(header, Math.max(header, length)))
  }
  if (ethertype === '86dd' && version === 6 && ip.length >= 40) {
    const length = 40 + ip.readUInt16BE(4)
    if (length > ip.length) return false
    return isService(ip.toString('hex', 24, 40), ip[6]!, ip.subarray(40, length))
  }
  return false
}

function isService(destination: string, protocol: number, segment: Buffer): boolean {
  const least = HEADER_BYTES.get(protocol)
  if (least === undefined || segment.length < least) return false
  const vip = ['cb00710a', '20010db8ffff00000000000000000010'].includes(destination)
  return vip && segment.readUInt16BE(2) === (PROTOCOL_NAMES.get(protocol) === 'tcp' ? 443 : 53)
}

/** The encapsulated frame holds the frame that was sent, less its Ethernet header, as its end. */
function assertVerdict(balancer: Balancer, frame: Buffer): void {
  const sent = balancer.send(frame)
  const inner = frame.subarray(ETHERNET_BYTES)
  if (mustForward(frame)) {
    assert.equal(sent.action, 'tx')
    assert.equal(sent.frame.length, frame.length + 20)
    assert.ok(sent.frame.subarray(ETHERNET_BYTES + 20).equals(inner))
    const length = inner[0]! >> 4 === 4 ? inner.readUInt16BE(2) : 40 + inner.readUInt16BE(4)
    assert.equal(sent.frame.readUInt16BE(ETHERNET_BYTES + 2), 20 + length)
  } else {
    assert.ok(sent.action === 'drop' || sent.action === 'pass', sent.action)
    assert.ok(sent.frame.equals(frame), 'untouched')
  }
}

const openForTrash = (): Promise<Balancer> =>
  openBalancer({
    services: [from4.vip, from6.vip].flatMap(vip => [
      { vip, port: 443, protocol: 'tcp' as const, members: [member('10.9.0.1')], slots: 0 },
      { vip, port: 53, protocol: 'udp' as const, members: [member('10.9.0.1')], slots: 0 },
    ]),
  })

suite('what is no whole packet', { skip: needsRoot }, () => {
  before(buildObjects)

  test('is never forwarded, wherever a packet is cut off', async () => {
    using balancer = await openForTrash()
    for (const kind of KINDS) {
      const whole = buildFrame(kind)
      for (let length = ETHERNET_BYTES; length <= whole.length; length++) {
        assert.equal(mustForward(whole.subarray(0, length)), length === whole.length)
        assertVerdict(balancer, whole.subarray(0, length))
      }
    }
  })

  test('is told from whole packets also when headers are overwritten by chance', async () => {
    using balancer = await openForTrash()
    const edits = fc.array(fc.record({ at: fc.nat(73), byte: fc.nat(255) }), { minLength: 1, maxLength: 3 })
    const trailer = fc.nat(30)
    let forwarded = 0
    fc.assert(
      fc.property(fc.constantFrom(...KINDS), edits, trailer, fc.nat(30), (kind, changes, more, fewer) => {
        const frame = Buffer.concat([buildFrame(kind), Buffer.alloc(more)])
        for (const { at, byte } of changes) if (at < frame.length) frame[at] = byte
        const cut = frame.subarray(0, Math.max(ETHERNET_BYTES, frame.length - fewer))
        if (mustForward(cut)) forwarded++
        assertVerdict(balancer, cut)
      }),
      { numRuns: 4000 },
    )
    assert.ok(forwarded > 100, `${forwarded} of 4000 were still packets`)
  })

  test('does no harm as pure noise', async () => {
    using balancer = await openForTrash()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: ETHERNET_BYTES, maxLength: 200 }), bytes => {
        assertVerdict(balancer, Buffer.from(bytes))
      }),
      { numRuns: 1000 },
    )
  })
})
