import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { PORT_RANGES } from '../../reconciler/drivers/xdp/layout.ts'
import { buildObjects, member, needsRoot, openBalancer, type ServiceFields } from './balancer.ts'
import { send, TCP } from './connections.ts'
import { encapsulatedTo } from './expected.ts'
import { buildFrame, ETHERNET_BYTES, wrapTransport } from './packet.ts'

/** Services on one VIP, each with a backend of its own. */
const servicesOn = (
  ports: readonly (readonly [port: number, endPort?: number, protocol?: 'tcp' | 'udp'])[],
): ServiceFields[] =>
  ports.map(([port, endPort, protocol = 'tcp'], i) => ({
    vip: TCP.vip,
    port,
    protocol,
    ...(endPort !== undefined && { endPort }),
    members: [member(`10.9.0.${i + 1}`, { generation: i + 1, counter: i })],
    slots: 0,
  }))

suite('a service with more ports than one', { skip: needsRoot }, () => {
  before(buildObjects)

  test('gets what is to its ports, byte for byte, and nothing else', async () => {
    using balancer = await openBalancer({ services: servicesOn([[8000, 8999]]) })
    for (const port of [8000, 8500, 8999]) {
      const packet = { ...TCP, port }
      const frame = buildFrame(packet)
      const expected = encapsulatedTo('10.9.0.1', frame, packet)
      assert.equal(balancer.send(frame).frame.toString('hex'), expected.toString('hex'))
    }
    balancer.counted()
    for (const packet of [
      { ...TCP, port: 7999 },
      { ...TCP, port: 9000 },
      { ...TCP, port: 8500, protocol: 'udp' as const },
    ])
      assert.equal(send(balancer, packet), undefined)
    assert.equal(balancer.send(buildFrame({ ...TCP, port: 8500, vip: '203.0.113.99' })).action, 'pass')
    assert.deepEqual(balancer.counted(), { drop_unmatched: 3, pass_not_vip: 1 })
  })

  test('leaves a port to the service of that port, and what it has not to the service of all ports', async () => {
    using balancer = await openBalancer({
      services: servicesOn([[1, 65535], [8000, 8999], [8443], [1, 65535, 'udp']]),
    })
    const to = (port: number, protocol: 'tcp' | 'udp' = 'tcp') => send(balancer, { ...TCP, port, protocol })
    assert.deepEqual(
      [to(8443), to(8444), to(9000), to(1), to(65535), to(8443, 'udp')],
      ['10.9.0.3', '10.9.0.2', '10.9.0.1', '10.9.0.1', '10.9.0.1', '10.9.0.4'],
    )
  })

  test('keeps the connections of its ports apart', async () => {
    using balancer = await openBalancer({ services: servicesOn([[8000, 8999]]) })
    for (const port of [8000, 8001, 8000]) send(balancer, { ...TCP, port })
    assert.equal(balancer.flows().length, 2)
    assert.deepEqual(balancer.counted(), { forwarded_ring: 2, forwarded_flow: 1 })
  })

  test('gets the ICMP errors about its connections', async () => {
    using balancer = await openBalancer({ services: servicesOn([[8000, 8999]]) })
    // What a backend sent to the client, quoted by a router.
    const answer = buildFrame({
      source: TCP.vip,
      sourcePort: 8500,
      vip: TCP.source,
      port: 40_000,
      protocol: 'tcp',
    })
    const quoted = answer.subarray(ETHERNET_BYTES, ETHERNET_BYTES + 28)
    const icmp = Buffer.concat([Buffer.from([3, 1, 0, 0, 0, 0, 0, 0]), quoted])
    assert.equal(balancer.send(wrapTransport({ source: '198.51.100.1', vip: TCP.vip }, 1, icmp)).action, 'tx')
    assert.deepEqual(balancer.counted(), { forwarded_icmp: 1 })
  })

  test('is found among as many ranges as there can be, in whatever order they were made', async () => {
    const ranges = Array.from({ length: PORT_RANGES }, (_, i) => [i * 100 + 1, i * 100 + 90] as const)
    const starts = fc.shuffledSubarray(ranges, { minLength: PORT_RANGES })
    await fc.assert(
      fc.asyncProperty(
        starts,
        fc.array(fc.integer({ min: 1, max: 3300 }), { maxLength: 40 }),
        async (order, ports) => {
          using balancer = await openBalancer({ services: servicesOn(order) })
          for (const port of ports) {
            const place = order.findIndex(([first, last]) => port >= first && port <= last)
            const expected = place === -1 ? undefined : `10.9.0.${place + 1}`
            assert.equal(send(balancer, { ...TCP, port }), expected)
          }
        },
      ),
      { numRuns: 5 },
    )
  })
})
