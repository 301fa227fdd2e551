import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { openDecapsulator } from './decapsulator.ts'
import { encapsulatedTo } from './expected.ts'
import { BACKEND4, BACKEND6, from4, from6, payload, SERVICES } from './fixtures.ts'
import { buildFrame, ETHERNET_BYTES, encapsulate, linkAddress, type PacketFields } from './packet.ts'

const VARIANTS = [1, 0] as const
const PORT = 6080

const FLOWS: readonly (readonly [string, PacketFields, string, number])[] = [
  ['4in4', { ...from4, payload, traffic: 0xbb }, BACKEND4, 20],
  ['4in6', { ...from4, port: 8443, payload, traffic: 0xbb }, BACKEND6, 40],
  ['6in6', { ...from6, port: 53, protocol: 'udp', payload, traffic: 0xbb }, BACKEND6, 40],
  ['6in4', { ...from6, port: 8443, payload, traffic: 0xbb }, BACKEND4, 20],
]

const servicesIn = (variant: 0 | 1, port = PORT) =>
  SERVICES.map(service => ({ ...service, gue: { variant, port } }))

suite('generic UDP encapsulation', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const variant of VARIANTS) {
    for (const [what, packet, to, outer] of FLOWS) {
      const headers = outer + 8 + (variant === 0 ? 4 : 0)

      test(`variant ${variant}, ${what}: byte for byte, first and later packets, to any port`, async () => {
        for (const port of [PORT, 1, 65535]) {
          using balancer = await openBalancer({ services: servicesIn(variant, port) })
          for (const reason of ['forwarded_ring', 'forwarded_flow']) {
            const frame = buildFrame(packet)
            const sent = balancer.send(frame)
            assert.deepEqual([sent.action, balancer.counted()], ['tx', { [reason]: 1 }])
            const expected = encapsulatedTo(to, frame, packet, { gue: { variant, port } })
            assert.equal(sent.frame.toString('hex'), expected.toString('hex'))
          }
        }
      })

      test(`variant ${variant}, ${what}: fills the MTU, and tells senders what that leaves`, async () => {
        using balancer = await openBalancer({ services: servicesIn(variant) })
        const own = buildFrame({ ...packet, payload: new Uint8Array() }).length - ETHERNET_BYTES
        const room = 1500 - headers
        const fits = buildFrame({ ...packet, payload: Buffer.alloc(room - own) })
        assert.equal(balancer.send(fits).frame.length, ETHERNET_BYTES + 1500)
        const told = balancer.send(buildFrame({ ...packet, payload: Buffer.alloc(room - own + 1) }))
        assert.deepEqual(balancer.counted(), { forwarded_ring: 1, answered_too_big: 1 })
        const ipv6 = packet.vip.includes(':')
        assert.equal(told.frame.readUInt32BE(ETHERNET_BYTES + (ipv6 ? 44 : 24)), room)
      })

      test(`variant ${variant}, ${what}: the decapsulator gives back what was sent`, async () => {
        for (const port of [PORT, 4754]) {
          using balancer = await openBalancer({ services: servicesIn(variant, port) })
          using backend = await openDecapsulator({ guePort: port })
          const frame = buildFrame(packet)
          const sent = balancer.send(frame)
          const received = backend.send(sent.frame)
          const reason = variant === 0 ? 'gue_0' : 'gue'
          assert.deepEqual([received.action, backend.counted()], ['pass', { [reason]: 1 }])
          const expected = Buffer.concat([sent.frame.subarray(0, 12), frame.subarray(12)])
          assert.equal(received.frame.toString('hex'), expected.toString('hex'))
        }
      })
    }
  }

  test('the source port varies with the flow, among ports that nothing listens on', async () => {
    using balancer = await openBalancer({ services: servicesIn(1), nearBuckets: 256 })
    const ports = new Set<number>()
    for (let sourcePort = 1; sourcePort <= 300; sourcePort++) {
      const { frame } = balancer.send(buildFrame({ ...from4, sourcePort }))
      ports.add(frame.readUInt16BE(ETHERNET_BYTES + 20))
    }
    assert.ok(ports.size > 280, `${ports.size} ports`)
    assert.ok(Math.min(...ports) >= 0xc000)
  })

  test('the decapsulator passes other UDP untouched', async () => {
    using backend = await openDecapsulator()
    const outer = (port: number, patch: (udp: Buffer) => void): Buffer => {
      const frame = encapsulate(buildFrame(from4), {
        source: Uint8Array.of(10, 64, 0, 1),
        destination: Uint8Array.of(10, 9, 0, 1),
        flowLabel: 0,
        ethernet: { to: '02:00:00:00:00:04', from: '02:00:00:00:00:03' },
        gue: { sourcePort: 50_000, port, variant: 0 },
      })
      patch(frame.subarray(ETHERNET_BYTES + 20))
      return frame
    }
    const frames = {
      'another port': outer(6081, () => {}),
      'a control message': outer(PORT, udp => udp.writeUInt8(0x20, 8)),
      extensions: outer(PORT, udp => udp.writeUInt8(1, 8)),
      flags: outer(PORT, udp => udp.writeUInt16BE(1, 10)),
      'another version': outer(PORT, udp => udp.writeUInt8(0x80, 8)),
      'a protocol that is not IP': outer(PORT, udp => udp.writeUInt8(47, 9)),
      DNS: buildFrame({ ...from4, protocol: 'udp', port: 53, payload }),
      'a short one': buildFrame({ ...from4, protocol: 'udp', port: PORT, payload: Buffer.alloc(3) }),
    }
    for (const [what, frame] of Object.entries(frames)) {
      const { action, frame: packet } = backend.send(frame)
      assert.deepEqual([action, backend.counted()], ['pass', { pass_other: 1 }], what)
      assert.equal(packet.toString('hex'), frame.toString('hex'), what)
    }
    assert.deepEqual(frames['another port'].subarray(0, 6), linkAddress('02:00:00:00:00:04'))
  })
})
