import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { openDecapsulator } from './decapsulator.ts'
import { from4, from6, SERVICES } from './fixtures.ts'
import { buildFrame, ETHERNET_BYTES, internetChecksum, type PacketFields, wrapTransport } from './packet.ts'

const OUTER = ETHERNET_BYTES + 40

const servicesIn = (variant: 0 | 1) =>
  SERVICES.map(service => ({ ...service, gue: { variant, port: 6080, checksum: 'computed' as const } }))

/** The sum over UDP and the pseudo header (RFC 8200, 8.1): 0 when the checksum is right. */
function sumOf(frame: Buffer): number {
  const length = frame.readUInt16BE(OUTER + 4)
  const end = Buffer.alloc(8)
  end.writeUInt32BE(length, 0)
  end.writeUInt8(17, 7)
  const addresses = frame.subarray(ETHERNET_BYTES + 8, OUTER)
  return internetChecksum(Buffer.concat([addresses, end, frame.subarray(OUTER, OUTER + length)]))
}

const checksumOf = (frame: Buffer): number => frame.readUInt16BE(OUTER + 6)

const packets: fc.Arbitrary<PacketFields> = fc
  .record({
    base: fc.constantFrom(
      { ...from4, port: 8443 },
      { ...from4, port: 853, protocol: 'udp' as const },
      from6,
      { ...from6, port: 53, protocol: 'udp' as const },
    ),
    sourcePort: fc.integer({ min: 1, max: 65535 }),
    traffic: fc.nat(255),
    payload: fc.uint8Array({ maxLength: 1300 }),
    options: fc.constantFrom(0, 4, 40),
  })
  .map(({ base, options, ...fields }) => ({
    ...base,
    ...fields,
    ...(base.vip === from4.vip && { options: Buffer.alloc(options, 1) }),
  }))

suite('the UDP checksum of GUE over IPv6', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const variant of [1, 0] as const) {
    test(`variant ${variant}: is right for every TCP and UDP packet of both families`, async () => {
      using balancer = await openBalancer({ services: servicesIn(variant) })
      using backend = await openDecapsulator()
      fc.assert(
        fc.property(packets, packet => {
          const { action, frame } = balancer.send(buildFrame(packet))
          assert.equal(action, 'tx')
          assert.notEqual(checksumOf(frame), 0)
          assert.equal(sumOf(frame), 0)
          assert.equal(backend.send(frame).action, 'pass')
        }),
        { numRuns: 200 },
      )
    })
  }

  test('is right for an ICMP error of either family', async () => {
    using balancer = await openBalancer({ services: servicesIn(1) })
    for (const { vip, source, port } of [{ ...from4, port: 8443 }, from6]) {
      const ipv6 = vip.includes(':')
      const quoted = buildFrame({
        source: vip,
        vip: source,
        sourcePort: port,
        port: 40_000,
        protocol: 'tcp',
      }).subarray(ETHERNET_BYTES)
      const icmp = Buffer.concat([Buffer.from(ipv6 ? '0200000000000500' : '0304000000000500', 'hex'), quoted])
      const ip = wrapTransport({ source, vip }, ipv6 ? 58 : 1, icmp)
      const pseudo = Buffer.alloc(8)
      pseudo.writeUInt32BE(icmp.length, 0)
      pseudo.writeUInt8(58, 7)
      const covered = ipv6
        ? Buffer.concat([ip.subarray(ETHERNET_BYTES + 8, ETHERNET_BYTES + 40), pseudo, icmp])
        : icmp
      ip.writeUInt16BE(internetChecksum(covered), ip.length - icmp.length + 2)
      const { action, frame } = balancer.send(ip)
      assert.deepEqual([action, balancer.counted()], ['tx', { forwarded_icmp: 1 }])
      assert.notEqual(checksumOf(frame), 0)
      assert.equal(sumOf(frame), 0)
    }
  })

  test('is left out of what has none inside, and over IPv4', async () => {
    using balancer = await openBalancer({ services: servicesIn(1) })
    const bare = buildFrame({ ...from4, port: 853, protocol: 'udp', payload: Buffer.alloc(30, 1) })
    bare.writeUInt16BE(0, ETHERNET_BYTES + 20 + 6)
    assert.equal(checksumOf(balancer.send(bare).frame), 0)
    const over4 = balancer.send(buildFrame({ ...from4, payload: Buffer.alloc(30, 1) })).frame
    assert.equal(over4.readUInt16BE(ETHERNET_BYTES + 20 + 6), 0)
  })
})
