import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { buildObjects, member, needsRoot, openBalancer } from './balancer.ts'
import { encapsulatedTo } from './expected.ts'
import { BACKEND4, FORWARDED, from4, payload, REFUSED, SERVICES, tcp4, VIP4 } from './fixtures.ts'
import { buildFrame } from './packet.ts'

suite('one packet through the balancer', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const { what, packet, to, trailer = 0, settings } of FORWARDED) {
    test(`forwards, byte for byte: ${what}`, async () => {
      using balancer = await openBalancer({ services: SERVICES, ...(settings && { settings }) })
      const frame = Buffer.concat([buildFrame(packet), Buffer.alloc(trailer)])
      const sent = balancer.send(frame)
      assert.deepEqual([sent.action, balancer.counted()], ['tx', { forwarded_ring: 1 }])
      const expected = encapsulatedTo(to, frame, packet, {
        ...(settings?.sources && { sources: settings.sources }),
      })
      assert.equal(sent.frame.toString('hex'), expected.toString('hex'))
    })
  }

  for (const { what, frame, action, reason, settings } of REFUSED) {
    test(`${action === 'pass' ? 'passes' : 'drops'}, untouched, as ${reason}: ${what}`, async () => {
      using balancer = await openBalancer({ services: SERVICES, ...(settings && { settings }) })
      const sent = balancer.send(frame)
      const counted = balancer.counted()
      assert.equal(sent.action, action)
      assert.equal(counted[reason], 1)
      assert.equal(balancer.countedBytes(reason), frame.length)
      assert.deepEqual(Object.keys(counted), [reason])
      assert.equal(sent.frame.toString('hex'), frame.toString('hex'))
    })
  }

  test('drops packets of a service whose ring is missing', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    balancer.removeRing(0)
    assert.equal(balancer.send(tcp4).action, 'drop')
    assert.deepEqual(balancer.counted(), { drop_no_backend: 1 })
  })

  test('drops packets of a service that is gone while its VIP is not', async () => {
    using balancer = await openBalancer({ services: SERVICES })
    balancer.removeService(SERVICES[0]!)
    assert.equal(balancer.send(tcp4).action, 'drop')
    assert.deepEqual(balancer.counted(), { drop_unmatched: 1 })
  })

  test("counts a member's packets, the bytes of their IP packets, and new flows", async () => {
    const counted = member(BACKEND4, { counter: 3 })
    using balancer = await openBalancer({
      services: [{ vip: VIP4, port: 443, protocol: 'tcp', members: [counted], slots: 0 }],
    })
    for (const sourcePort of [1, 2, 1, 1]) balancer.send(buildFrame({ ...from4, sourcePort, payload }))
    const bytes = 4 * (40 + payload.length)
    assert.deepEqual(balancer.countedFor(counted), { packets: 4, bytes, newFlows: 2 })
    assert.deepEqual(balancer.counted(), { forwarded_ring: 2, forwarded_flow: 2 })
    assert.equal(balancer.countedBytes('forwarded_ring'), 2 * (54 + payload.length))
  })
})
