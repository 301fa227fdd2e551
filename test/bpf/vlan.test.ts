import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import type { XdpSettingsRow } from '../../schemas/node-state.ts'
import { buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { openDecapsulator } from './decapsulator.ts'
import { encapsulatedTo } from './expected.ts'
import { BACKEND4, BACKEND6, from4, from6, payload, SERVICES, VIP4 } from './fixtures.ts'
import { buildFrame, type PacketFields, wrapTransport } from './packet.ts'

const ONE = '8100a064'
const TAGS: readonly (readonly [what: string, tags: string])[] = [
  ['one tag', ONE],
  ['a tag of priority alone', '8100e000'],
  ['two tags, 802.1ad outside', `88a80fff${ONE}`],
  ['two tags, both 802.1Q', `81000001${ONE}`],
]
const ADDRESSES = 12

const withTags = (frame: Buffer, tags: string): Buffer =>
  Buffer.concat([frame.subarray(0, ADDRESSES), Buffer.from(tags, 'hex'), frame.subarray(ADDRESSES)])

const FLOWS: readonly (readonly [string, PacketFields, string])[] = [
  ['4in4', { ...from4, payload }, BACKEND4],
  ['4in6', { ...from4, port: 8443, payload }, BACKEND6],
  ['6in6', { ...from6, payload }, BACKEND6],
]

suite('frames with VLAN tags', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const [what, tags] of TAGS) {
    for (const [way, packet, to] of FLOWS) {
      test(`${what}, ${way}: forwarded with the same tags, and unwrapped by the backend`, async () => {
        using balancer = await openBalancer({ services: SERVICES })
        using backend = await openDecapsulator()
        for (const reason of ['forwarded_ring', 'forwarded_flow']) {
          const frame = buildFrame(packet)
          const sent = balancer.send(withTags(frame, tags))
          assert.deepEqual([sent.action, balancer.counted()], ['tx', { [reason]: 1 }])
          const expected = withTags(encapsulatedTo(to, frame, packet), tags)
          assert.equal(sent.frame.toString('hex'), expected.toString('hex'))
          const received = backend.send(sent.frame)
          assert.deepEqual([received.action, backend.counted()], ['pass', { ipip: 1 }])
          const inner = Buffer.concat([sent.frame.subarray(0, ADDRESSES), frame.subarray(ADDRESSES)])
          assert.equal(received.frame.toString('hex'), withTags(inner, tags).toString('hex'))
        }
      })
    }

    test(`${what}: to the kernel untouched, when it is for no VIP`, async () => {
      using balancer = await openBalancer({ services: SERVICES })
      using backend = await openDecapsulator()
      const frame = withTags(buildFrame({ ...from4, vip: '192.0.2.1' }), tags)
      const passed = balancer.send(frame)
      assert.deepEqual([passed.action, balancer.counted()], ['pass', { pass_not_vip: 1 }])
      assert.equal(passed.frame.toString('hex'), frame.toString('hex'))
      assert.equal(backend.send(frame).frame.toString('hex'), frame.toString('hex'))
      assert.deepEqual(backend.counted(), { pass_other: 1 })
    })

    test(`${what}: an echo request is answered in the same VLAN`, async () => {
      using balancer = await openBalancer({ services: SERVICES })
      const echo = Buffer.concat([Buffer.from('0800f7fd00010001', 'hex'), Buffer.alloc(32)])
      const frame = withTags(wrapTransport({ source: '198.51.100.7', vip: VIP4 }, 1, echo), tags)
      const answer = balancer.send(frame)
      assert.deepEqual([answer.action, balancer.counted()], ['tx', { answered_echo: 1 }])
      assert.equal(
        answer.frame.toString('hex', ADDRESSES, ADDRESSES + tags.length / 2),
        tags,
        'the tags stay in their places',
      )
    })
  }

  test('a packet that fills the MTU fits with its tags, which do not count', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    const frame = buildFrame({ ...from4, payload: Buffer.alloc(1500 - 60) })
    assert.equal(balancer.send(withTags(frame, ONE)).action, 'tx')
    assert.deepEqual(balancer.counted(), { forwarded_ring: 1 })
    const larger = buildFrame({ ...from4, payload: Buffer.alloc(1500 - 59) })
    const told = balancer.send(withTags(larger, ONE))
    assert.deepEqual([told.action, balancer.counted()], ['tx', { answered_too_big: 1 }])
    assert.equal(told.frame.toString('hex', ADDRESSES, ADDRESSES + 4), ONE)
  })

  test('three tags are no IP', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    const frame = withTags(buildFrame(from4), `${ONE}${ONE}${ONE}`)
    const passed = balancer.send(frame)
    assert.deepEqual([passed.action, balancer.counted()], ['pass', { pass_not_ip: 1 }])
    assert.equal(passed.frame.toString('hex'), frame.toString('hex'))
  })

  test('cut anywhere, they never come out as anything else', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    const whole = withTags(buildFrame(from4), `88a80fff${ONE}`)
    for (let length = 14; length < whole.length; length++) {
      const cut = whole.subarray(0, length)
      const { action, frame } = balancer.send(cut)
      assert.ok(action === 'drop' || action === 'pass', `${length} bytes: ${action}`)
      if (action === 'pass') assert.equal(frame.toString('hex'), cut.toString('hex'))
    }
  })

  test('with egress by FIB the kernel gets the encapsulated packet, tags and all', async () => {
    const settings: Partial<XdpSettingsRow> = { egress: 'fib' }
    using balancer = await openBalancer({ services: SERVICES, settings })
    const frame = buildFrame({ ...from4, payload })
    const sent = balancer.send(withTags(frame, ONE))
    assert.deepEqual([sent.action, balancer.counted()], ['pass', { forwarded_ring: 1, egress_unresolved: 1 }])
    const outer = encapsulatedTo(BACKEND4, frame, from4)
    const expected = Buffer.concat([frame.subarray(0, ADDRESSES), outer.subarray(ADDRESSES)])
    assert.equal(sent.frame.toString('hex'), withTags(expected, ONE).toString('hex'))
  })
})
