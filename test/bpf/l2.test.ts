import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { buildObjects, member, needsRoot, openBalancer, type ServiceFields } from './balancer.ts'
import { from4, from6, payload, VIP4, VIP6 } from './fixtures.ts'
import { buildFrame, linkAddress, Tcp } from './packet.ts'

const BACKENDS = ['10.9.0.1', '2001:db8:9::2', '10.9.0.3', '10.9.0.4']
const MEMBERS = BACKENDS.map((address, index) => member(address, { generation: index + 1, counter: index }))
const OWN = '02:00:00:00:01:00'
/** What test runs come in by. */
const LOOPBACK = 1

const linkOf = (index: number): string => `02:00:00:00:09:0${index}`
const hopOf = (index: number, ifindex = LOOPBACK) => ({ to: linkOf(index), from: OWN, ifindex })

const slots = Uint16Array.from({ length: RING_SLOTS }, (_, slot) => slot % MEMBERS.length)
const service = (vip: string): ServiceFields => ({
  vip,
  port: 443,
  protocol: 'tcp',
  members: MEMBERS,
  slots,
  encapsulation: 'l2',
})
const SERVICES = [service(VIP4), service(VIP6)]

suite('L2 direct server return', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, packet] of [
    ['IPv4', from4],
    ['IPv6', from6],
  ] as const) {
    test(`${what}: the packet as it is, with the link addresses of a backend and of the interface`, async () => {
      using balancer = await openBalancer({ services: SERVICES, nearBuckets: 256 })
      for (const [index, address] of BACKENDS.entries()) balancer.setNextHop(address, hopOf(index))
      for (let sourcePort = 1; sourcePort <= 50; sourcePort++) {
        const frame = buildFrame({ ...packet, sourcePort, payload })
        const first = balancer.send(frame)
        assert.deepEqual([first.action, balancer.counted()], ['tx', { forwarded_ring: 1 }])
        const to = BACKENDS.findIndex((_, i) => first.frame.subarray(0, 6).equals(linkAddress(linkOf(i))))
        assert.ok(to >= 0)
        const expected = Buffer.concat([linkAddress(linkOf(to)), linkAddress(OWN), frame.subarray(12)])
        assert.equal(first.frame.toString('hex'), expected.toString('hex'))
        assert.equal(balancer.send(frame).frame.toString('hex'), expected.toString('hex'))
        assert.deepEqual(balancer.counted(), { forwarded_flow: 1 })
      }
      const packets = MEMBERS.map(each => balancer.countedFor(each).packets)
      assert.equal(
        packets.reduce((sum, each) => sum + each),
        100,
      )
    })
  }

  test('a backend without a link address gets no new flow, and the others get theirs as before', async () => {
    using all = await openBalancer({ services: SERVICES, nearBuckets: 1024 })
    using some = await openBalancer({ services: SERVICES, nearBuckets: 1024 })
    for (const [index, address] of BACKENDS.entries()) {
      all.setNextHop(address, hopOf(index))
      if (index !== 1) some.setNextHop(address, hopOf(index))
    }
    const got = new Set<string>()
    fc.assert(
      fc.property(fc.nat(0xffffff), fc.integer({ min: 1, max: 65535 }), (client, sourcePort) => {
        const source = `198.${client >> 16}.${(client >> 8) & 0xff}.${client & 0xff}`
        const frame = buildFrame({ ...from4, source, sourcePort, tcpFlags: Tcp.syn })
        const [before, after] = [all.send(frame), some.send(frame)].map(({ action, frame: sent }) => {
          assert.equal(action, 'tx')
          return sent.toString('hex', 0, 6)
        })
        assert.notEqual(after, linkAddress(linkOf(1)).toString('hex'))
        if (before !== linkAddress(linkOf(1)).toString('hex')) assert.equal(after, before)
        else got.add(after!)
      }),
      { numRuns: 200 },
    )
    assert.equal(got.size, 3, 'its flows are spread over all others')
  })

  test('a flow waits for its backend, and is sent nowhere else meanwhile', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    balancer.setNextHop(BACKENDS[2]!, hopOf(2))
    const frame = buildFrame({ ...from4, tcpFlags: Tcp.ack })
    assert.equal(balancer.send(frame).frame.toString('hex', 0, 6), linkAddress(linkOf(2)).toString('hex'))
    balancer.setNextHop(BACKENDS[2]!, null)
    balancer.setNextHop(BACKENDS[0]!, hopOf(0))
    balancer.counted()
    assert.equal(balancer.send(frame).action, 'drop')
    assert.deepEqual(balancer.counted(), { drop_no_next_hop: 1 })
    balancer.setNextHop(BACKENDS[2]!, hopOf(2))
    assert.equal(balancer.send(frame).frame.toString('hex', 0, 6), linkAddress(linkOf(2)).toString('hex'))
    assert.deepEqual(balancer.counted(), { forwarded_flow: 1 })
  })

  test('with no link address at all there is no backend', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    assert.equal(balancer.send(buildFrame(from4)).action, 'drop')
    assert.deepEqual(balancer.counted(), { drop_no_backend: 1 })
  })

  test('another interface than that of arrival gets it by a redirect', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    for (const [index, address] of BACKENDS.entries()) balancer.setNextHop(address, hopOf(index, 77))
    assert.equal(balancer.send(buildFrame(from4)).action, 'redirect')
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
  })

  test('what is larger than the MTU is not sent, and its sender told', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    for (const [index, address] of BACKENDS.entries()) balancer.setNextHop(address, hopOf(index))
    const fits = buildFrame({ ...from4, payload: Buffer.alloc(1460) })
    assert.deepEqual([balancer.send(fits).action, balancer.counted()], ['tx', { forwarded_ring: 1 }])
    balancer.send(buildFrame({ ...from4, payload: Buffer.alloc(1461) }))
    assert.deepEqual(balancer.counted(), { answered_too_big: 1 })
  })
})
