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

function assertVerdict(balancer: Balancer, frame: Buffer): void {
  const sent = balancer.send(frame)
  if (mustForward(frame)) assertEncapsulated(sent, frame)
  else assertUntouched(sent, frame)
}

type Sent = ReturnType<Balancer['send']>

/** The encapsulated frame holds the frame that was sent, less its Ethernet header, as its end. */
function assertEncapsulated(sent: Sent, frame: Buffer): void {
  const inner = frame.subarray(ETHERNET_BYTES)
  assert.equal(sent.action, 'tx')
  assert.equal(sent.frame.length, frame.length + 20)
  assert.ok(sent.frame.subarray(ETHERNET_BYTES + 20).equals(inner))
  const length = inner[0]! >> 4 === 4 ? inner.readUInt16BE(2) : 40 + inner.readUInt16BE(4)
  assert.equal(sent.frame.readUInt16BE(ETHERNET_BYTES + 2), 20 + length)
}

function assertUntouched(sent: Sent, frame: Buffer): void {
  assert.ok(sent.action === 'drop' || sent.action === 'pass', sent.action)
  assert.ok(sent.frame.equals(frame), 'untouched')
}

/** By default every frame is judged for itself, and what fragments came before makes no difference. */
const openForTrash = (fragments: 'drop' | 'track' = 'drop'): Promise<Balancer> =>
  openBalancer({
    settings: fragments === 'drop' ? { fragments } : {},
    services: [from4.vip, from6.vip].flatMap(vip => [
      { vip, port: 443, protocol: 'tcp' as const, members: [member('10.9.0.1')], slots: 0 },
      { vip, port: 53, protocol: 'udp' as const, members: [member('10.9.0.1')], slots: 0 },
    ]),
  })

/** A packet of KINDS with up to three bytes changed, padded, and cut off. */
const damagedFrames = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    edits: fc.array(fc.record({ at: fc.nat(73), byte: fc.nat(255) }), { minLength: 1, maxLength: 3 }),
    more: fc.nat(30),
    fewer: fc.nat(30),
  })
  .map(({ kind, edits, more, fewer }) => {
    const frame = Buffer.concat([buildFrame(kind), Buffer.alloc(more)])
    for (const { at, byte } of edits) if (at < frame.length) frame[at] = byte
    return frame.subarray(0, Math.max(ETHERNET_BYTES, frame.length - fewer))
  })
  .filter(frame => !isEcho(frame))

/** What is answered, not forwarded: an echo request, if three bytes fell so. */
function isEcho(frame: Buffer): boolean {
  const ip = frame.subarray(ETHERNET_BYTES)
  return ip.length > 20 && (ip[0]! >> 4 === 4 ? ip[9] === 1 : ip[6] === 58)
}

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
    let forwarded = 0
    fc.assert(
      fc.property(damagedFrames, frame => {
        if (mustForward(frame)) forwarded++
        assertVerdict(balancer, frame)
      }),
      { numRuns: 4000 },
    )
    assert.ok(forwarded > 100, `${forwarded} of 4000 were still packets`)
  })

  test('is told from whole packets and from fragments that are followed', async () => {
    using balancer = await openForTrash('track')
    const fragmentBits = fc.constantFrom(0x2000, 0x0001, 0x0100, 0x2001)
    let followed = 0
    fc.assert(
      fc.property(damagedFrames, fragmentBits, (frame, bits) => {
        if (frame.length < ETHERNET_BYTES + 20) return
        frame.writeUInt16BE(bits, ETHERNET_BYTES + 6)
        const sent = balancer.send(frame)
        if (sent.action === 'tx') {
          followed++
          assert.equal(frame.toString('hex', 12, 14), '0800', 'only IPv4 has these bits')
          assertEncapsulated(sent, frame)
        } else assertUntouched(sent, frame)
      }),
      { numRuns: 2000 },
    )
    assert.ok(followed > 20, `${followed} of 2000 were fragments of a packet`)
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
