import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { encodeServiceKey, type ServiceKey } from '../../reconciler/drivers/xdp/layout.ts'
import { buildObjects, member, needsRoot, openBalancer, type ServiceFields } from './balancer.ts'
import { send, TCP } from './connections.ts'

const serviceOn = (key: ServiceKey, backend: string): ServiceFields => ({
  ...key,
  members: [member(backend)],
  slots: 0,
})

const WEB = { vip: TCP.vip, port: 443, protocol: 'tcp' } as const
const OTHER = { vip: TCP.vip, port: 8443, protocol: 'tcp' } as const

suite('where a service was found before', { skip: needsRoot }, () => {
  before(buildObjects)

  test('serves it as long as its ring is there, and no longer', async () => {
    using balancer = await openBalancer({
      services: [serviceOn(WEB, '10.9.0.1'), serviceOn(OTHER, '10.9.0.2')],
    })
    assert.equal(send(balancer, TCP), '10.9.0.1')
    balancer.removeService(serviceOn(WEB, '10.9.0.1'))
    assert.equal(send(balancer, TCP), '10.9.0.1', 'a service goes with its ring, which is the last to go')
    balancer.removeRing(0)
    balancer.counted()
    assert.equal(send(balancer, TCP), undefined)
    assert.deepEqual(balancer.counted(), { drop_unmatched: 1 })
    assert.equal(send(balancer, { ...TCP, port: 8443 }), '10.9.0.2')
  })

  test('is not taken for the service that has that place now', async () => {
    using balancer = await openBalancer({
      services: [serviceOn(WEB, '10.9.0.1'), serviceOn(OTHER, '10.9.0.2')],
    })
    assert.equal(send(balancer, TCP), '10.9.0.1')
    balancer.removeService(serviceOn(WEB, '10.9.0.1'))
    await balancer.swapRing(0, serviceOn({ ...WEB, port: 80 }, '10.9.0.3'))
    assert.equal(send(balancer, TCP), undefined)
  })

  test('is not taken for a service with a range of ports, which has no entry of the very port', async () => {
    using balancer = await openBalancer({
      services: [serviceOn(WEB, '10.9.0.1'), serviceOn({ ...WEB, port: 1, endPort: 65535 }, '10.9.0.2')],
    })
    assert.equal(send(balancer, TCP), '10.9.0.1')
    balancer.removeService(serviceOn(WEB, '10.9.0.1'))
    await balancer.swapRing(0, serviceOn({ ...WEB, endPort: 444 }, '10.9.0.3'))
    assert.equal(send(balancer, TCP), '10.9.0.2')
  })

  test('is found by all that share its place', async () => {
    const keys = sharingAPlace(TCP.vip)
    using balancer = await openBalancer({
      services: keys.map((key, i) => serviceOn(key, `10.9.0.${i + 1}`)),
    })
    for (const round of [1, 2, 3]) {
      for (const [i, { port }] of keys.entries()) {
        assert.equal(send(balancer, { ...TCP, port, sourcePort: round }), `10.9.0.${i + 1}`)
      }
    }
  })
})

/** Two services of a VIP whose hints stand in each other's way: `hash_key` of bpf/service.h. */
function sharingAPlace(vip: string): ServiceKey[] {
  const seen = new Map<bigint, ServiceKey>()
  for (let port = 1; port < 65_536; port++) {
    const key = { vip, port, protocol: 'tcp' } as const
    const bytes = encodeServiceKey(key)
    const [first, second] = [bytes.readBigUInt64LE(0), bytes.readBigUInt64LE(8)]
    const mixed = (first * 0xbf58476d1ce4e5b9n) ^ second ^ (BigInt(bytes.readUInt32LE(16)) << 8n)
    const place = BigInt.asUintN(64, BigInt.asUintN(64, mixed) * 0x9e3779b97f4a7c15n) >> 51n
    const other = seen.get(place)
    if (other !== undefined) return [other, key]
    seen.set(place, key)
  }
  throw new Error('no two ports share a place')
}
