import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { addressFamily, addressToBytes } from '../../schemas/address.ts'
import { buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { encapsulatedTo } from './expected.ts'
import { BACKEND4, BACKEND6, from4, from6, payload, SERVICES, VIP4, VIP6 } from './fixtures.ts'
import {
  BALANCER,
  buildFrame,
  ETHERNET_BYTES,
  type Ethernet,
  internetChecksum,
  type PacketFields,
  ROUTER,
  Tcp,
  wrapTransport,
} from './packet.ts'

/** A router on the way to the client, which has something to say. */
const TELLER4 = '192.0.2.1'
const TELLER6 = '2001:db8:2::1'
const LIMIT = 1000

const Type = {
  4: { echo: 8, echoReply: 0, unreachable: 3, timeExceeded: 11, parameter: 12, protocol: 1 },
  6: { echo: 128, echoReply: 129, unreachable: 1, timeExceeded: 3, parameter: 4, protocol: 58 },
} as const

interface IcmpFields {
  readonly source: string
  readonly vip: string
  readonly type: number
  readonly code?: number
  /** The second 4 bytes of the header. */
  readonly rest?: number
  readonly body: Uint8Array
  readonly ttl?: number
  readonly ethernet?: Ethernet
}

function icmpFrame({ type, code = 0, rest = 0, body, ...ip }: IcmpFields): Buffer {
  const family = addressFamily(ip.vip)
  const message = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), body])
  message.writeUInt32BE(rest, 4)
  message.writeUInt16BE(internetChecksum(Buffer.concat([pseudoHeader(ip, message.length), message])), 2)
  return wrapTransport(ip, Type[family === 6 ? 6 : 4].protocol, message)
}

function pseudoHeader({ source, vip }: { source: string; vip: string }, length: number): Buffer {
  if (addressFamily(vip) === 4) return Buffer.alloc(0)
  const end = Buffer.alloc(8)
  end.writeUInt32BE(length, 0)
  end.writeUInt8(58, 7)
  return Buffer.concat([addressToBytes(source), addressToBytes(vip), end])
}

/** What a router quotes of the packet that a backend sent to the client. */
function quote(client: PacketFields, { headerBytes = 0, transportBytes = 8, options = false } = {}): Buffer {
  const answer = buildFrame({
    source: client.vip,
    sourcePort: client.port,
    vip: client.source,
    port: client.sourcePort,
    protocol: client.protocol,
    payload,
    ...(options && { options: Buffer.alloc(12, 1) }),
  })
  const bytes = headerBytes || (addressFamily(client.vip) === 6 ? 40 : options ? 32 : 20)
  return answer.subarray(ETHERNET_BYTES, ETHERNET_BYTES + bytes + transportBytes)
}

const tooBigFor = (client: PacketFields): Buffer =>
  icmpFrame({ source: TELLER4, vip: VIP4, type: 3, code: 4, rest: 1400, body: quote(client) })

const FLOWS: readonly (readonly [string, PacketFields, string])[] = [
  ['4in4, TCP', from4, BACKEND4],
  ['4in4, UDP', { ...from4, port: 53, protocol: 'udp' }, BACKEND4],
  ['4in6, TCP', { ...from4, port: 8443 }, BACKEND6],
  ['6in6, TCP', from6, BACKEND6],
  ['6in6, UDP', { ...from6, port: 53, protocol: 'udp' }, BACKEND6],
  ['6in4, UDP', { ...from6, port: 853, protocol: 'udp' }, BACKEND4],
]

suite('ICMP to a VIP', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, client, to] of FLOWS) {
    const family = addressFamily(client.vip) === 6 ? 6 : 4
    const source = family === 6 ? TELLER6 : TELLER4
    const types = [...(family === 6 ? [2] : []), Type[family].unreachable, Type[family].timeExceeded]

    test(`an error that quotes 8 bytes goes to the backend of its flow: ${what}`, async () => {
      using balancer = await openBalancer({ services: SERVICES })
      for (const type of types) {
        const frame = icmpFrame({ source, vip: client.vip, type, rest: 1400, body: quote(client) })
        const sent = balancer.send(frame)
        assert.deepEqual([sent.action, balancer.counted()], ['tx', { forwarded_icmp: 1 }])
        assert.equal(sent.frame.toString('hex'), encapsulatedTo(to, frame, client).toString('hex'))
      }
      assert.deepEqual(balancer.flows(), [], 'an error makes no flow')
    })

    test(`an echo request is answered: ${what}`, async () => {
      using balancer = await openBalancer({ services: SERVICES })
      for (const ttl of [1, 63, 64, 65, 255]) {
        const fields = { rest: 0x12340001 + ttl, body: payload }
        const asked = { source: client.source, vip: client.vip, type: Type[family].echo, ttl, ...fields }
        const ethernet = { to: ROUTER, from: BALANCER }
        const answer = {
          source: client.vip,
          vip: client.source,
          type: Type[family].echoReply,
          ttl: 64,
          ethernet,
        }
        const sent = balancer.send(icmpFrame(asked))
        assert.deepEqual([sent.action, balancer.counted()], ['tx', { answered_echo: 1 }])
        assert.equal(sent.frame.toString('hex'), icmpFrame({ ...answer, ...fields }).toString('hex'))
      }
    })
  }

  for (const [what, tcpFlags] of [
    ['the flow', Tcp.ack],
    ['the SYN', Tcp.syn],
  ] as const)
    test(`an error goes where ${what} went, whatever the ring says since`, async () => {
      const [service] = SERVICES
      const members = [
        { address: BACKEND4, generation: 1, counter: 0, weight: 1 },
        { address: '10.9.0.2', generation: 2, counter: 1, weight: 1 },
      ]
      using balancer = await openBalancer({ services: [{ ...service!, members, slots: 0 }] })
      balancer.send(buildFrame({ ...from4, tcpFlags }))
      await balancer.swapRing(0, { ...service!, members, slots: 1 })
      const other = { ...from4, sourcePort: 40_001 }
      for (const [packet, backend] of [
        [from4, BACKEND4],
        [other, '10.9.0.2'],
      ] as const) {
        const frame = tooBigFor(packet)
        const wanted = encapsulatedTo(backend, frame, packet).toString('hex')
        assert.equal(balancer.send(frame).frame.toString('hex'), wanted)
      }
    })

  for (const handover of ['from-ipvs', 'to-ipvs'] as const)
    test(`while a service moves (${handover}), an error about a flow that IPVS has is for IPVS`, async () => {
      const [service] = SERVICES
      using balancer = await openBalancer({ services: [service!] })
      balancer.send(buildFrame({ ...from4, tcpFlags: Tcp.syn }))
      await balancer.swapRing(0, { ...service!, handover })
      balancer.counted()
      assert.equal(balancer.send(tooBigFor(from4)).action, 'tx')
      assert.equal(balancer.send(tooBigFor({ ...from4, sourcePort: 40_001 })).action, 'pass')
      assert.deepEqual(balancer.counted(), { forwarded_icmp: 1, pass_handover: 1 })
    })

  test('an error is found by what it quotes behind IPv4 options', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    const frame = icmpFrame({ source: TELLER4, vip: VIP4, type: 3, body: quote(from4, { options: true }) })
    assert.equal(
      balancer.send(frame).frame.toString('hex'),
      encapsulatedTo(BACKEND4, frame, from4).toString('hex'),
    )
  })

  const later = quote(from4)
  later.writeUInt16BE(185, 6)
  const gre = quote(from4)
  gre.writeUInt8(47, 9)
  for (const [what, frame, action, reason] of [
    [
      'about a packet of somebody else',
      icmpFrame({ source: TELLER4, vip: VIP4, type: 3, body: quote({ ...from4, vip: '203.0.113.11' }) }),
      'drop',
      'drop_unmatched',
    ],
    [
      'about a port without a service',
      icmpFrame({ source: TELLER6, vip: VIP6, type: 1, body: quote({ ...from6, port: 444 }) }),
      'drop',
      'drop_unmatched',
    ],
    [
      'about a protocol without ports',
      icmpFrame({ source: TELLER4, vip: VIP4, type: 3, body: gre }),
      'drop',
      'drop_unmatched',
    ],
    [
      'about a later fragment',
      icmpFrame({ source: TELLER4, vip: VIP4, type: 3, body: later }),
      'drop',
      'drop_fragment',
    ],
    [
      'that quotes 7 bytes, IPv4',
      icmpFrame({ source: TELLER4, vip: VIP4, type: 3, body: quote(from4, { transportBytes: 7 }) }),
      'drop',
      'drop_malformed',
    ],
    [
      'that quotes 7 bytes, IPv6',
      icmpFrame({ source: TELLER6, vip: VIP6, type: 1, body: quote(from6, { transportBytes: 7 }) }),
      'drop',
      'drop_malformed',
    ],
    [
      'to an address that is no VIP',
      icmpFrame({ source: TELLER4, vip: '203.0.113.11', type: 3, body: quote(from4) }),
      'pass',
      'pass_not_vip',
    ],
    [
      'that is none: a neighbour solicitation',
      icmpFrame({ source: TELLER6, vip: VIP6, type: 135, body: addressToBytes(VIP6) }),
      'pass',
      'pass_neighbour',
    ],
  ] as const) {
    test(`an error ${what} ${action === 'pass' ? 'passes' : 'is dropped'} as ${reason}`, async () => {
      using balancer = await openBalancer({ services: SERVICES })
      const sent = balancer.send(frame)
      assert.deepEqual([sent.action, balancer.counted()], [action, { [reason]: 1 }])
      assert.equal(sent.frame.toString('hex'), frame.toString('hex'))
    })
  }

  test('echo requests above the limit are dropped and counted', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    const frame = icmpFrame({ source: from4.source, vip: VIP4, type: 8, body: payload })
    // As many as two ticks of each CPU allow, and one more.
    let sent = 0
    while (balancer.send(frame).action === 'tx') assert.ok(++sent <= 2 * LIMIT * 4)
    assert.ok(sent >= LIMIT)
    assert.deepEqual(balancer.counted(), { answered_echo: sent, drop_icmp_limit: 1 })
  })
})

suite('a packet too big to be encapsulated', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, client, mtu] of [
    ['4in4', from4, 1480],
    ['4in6', { ...from4, port: 8443 }, 1460],
    ['6in6', from6, 1460],
    ['6in4', { ...from6, port: 853, protocol: 'udp' }, 1480],
  ] as const) {
    test(`is told the size that fits: ${what}`, async () => {
      using balancer = await openBalancer({ services: SERVICES })
      const family = addressFamily(client.vip) === 6 ? 6 : 4
      const headers = (family === 6 ? 40 : 20) + (client.protocol === 'tcp' ? 20 : 8)
      const fits = buildFrame({ ...client, payload: Buffer.alloc(mtu - headers, 0xa5) })
      assert.equal(balancer.send(fits).action, 'tx')
      assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })

      const tooBig = buildFrame({ ...client, payload: Buffer.alloc(mtu - headers + 1, 0xa5) })
      const told = icmpFrame({
        source: client.vip,
        vip: client.source,
        type: family === 6 ? 2 : 3,
        code: family === 6 ? 0 : 4,
        rest: mtu,
        body: tooBig.subarray(ETHERNET_BYTES, ETHERNET_BYTES + (family === 6 ? 1216 : 512)),
        ttl: 64,
        ethernet: { to: ROUTER, from: BALANCER },
      })
      const sent = balancer.send(tooBig)
      assert.deepEqual(balancer.counted(), { answered_too_big: 1 })
      assert.equal(sent.action, 'tx')
      assert.equal(unmarked(sent.frame, family).toString('hex'), unmarked(told, family).toString('hex'))
    })
  }

  test('is dropped and counted above the limit of answers', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    const frame = buildFrame({ ...from4, payload: Buffer.alloc(1441) })
    let sent = 0
    while (balancer.send(frame).action === 'tx') assert.ok(++sent <= 2 * LIMIT * 4)
    assert.ok(sent >= LIMIT)
    assert.deepEqual(balancer.counted(), { answered_too_big: sent, drop_too_big: 1 })
  })
})

/** Without what an answer need not have in common: IPv4 identification and flags, with the checksum over them. */
function unmarked(frame: Buffer, family: 4 | 6): Buffer {
  const copy = Buffer.from(frame)
  if (family === 4) {
    assert.equal(internetChecksum(copy.subarray(ETHERNET_BYTES, ETHERNET_BYTES + 20)), 0)
    for (const at of [4, 10]) copy.fill(0, ETHERNET_BYTES + at, ETHERNET_BYTES + at + (at === 4 ? 4 : 2))
  }
  return copy
}
