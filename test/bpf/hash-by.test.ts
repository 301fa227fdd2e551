import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { type FlowTuple, slotHash, slotOf, splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import { buildRing } from '../../reconciler/ring/maglev.ts'
import { addressFromBytes } from '../../schemas/address.ts'
import { HashBy } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { type Balancer, buildObjects, FLEET_KEY, member, needsRoot, openBalancer } from './balancer.ts'
import { buildFrame, ETHERNET_BYTES, Tcp } from './packet.ts'

const VIPS = ['203.0.113.10', '203.0.113.11', '2001:db8:ffff::10', '2001:db8:ffff::11'] as const
const PORTS = [80, 443] as const
const PROTOCOLS = ['tcp', 'udp'] as const
const BACKENDS = Array.from({ length: 50 }, (_, i) => ({
  address: `2001:db8:9::${(i + 1).toString(16)}`,
  weight: 1,
}))

const open = (hashBy: HashBy): Promise<Balancer> =>
  openBalancer({
    nearBuckets: 4096,
    services: VIPS.flatMap(vip =>
      PORTS.flatMap(port =>
        PROTOCOLS.map(protocol => ({
          vip,
          port,
          protocol,
          hashBy,
          members: BACKENDS.map(({ address }, counter) => member(address, { counter })),
          slots: RING,
        })),
      ),
    ),
  })

const RING = buildRing(BACKENDS)

/** The backend that a first packet of the flow gets. */
function backendOf(balancer: Balancer, tuple: FlowTuple): string {
  const { frame, action } = balancer.send(buildFrame({ ...tuple, tcpFlags: Tcp.syn }))
  assert.equal(action, 'tx')
  return addressFromBytes(frame.subarray(ETHERNET_BYTES + 24, ETHERNET_BYTES + 40))
}

const tuple = fc
  .record({
    host: fc.integer({ min: 1, max: 2 ** 24 }),
    sourcePort: fc.integer({ min: 1, max: 65535 }),
    vip: fc.constantFrom(...VIPS),
    port: fc.constantFrom(...PORTS),
    protocol: fc.constantFrom(...PROTOCOLS),
  })
  .map(({ host, ...rest }): FlowTuple => {
    const low = `${(host >> 16) & 0xff}.${(host >> 8) & 0xff}.${host & 0xff}`
    return {
      ...rest,
      source: rest.vip.includes(':') ? `2001:db8:1::${host.toString(16).slice(-4)}` : `11.${low}`,
    }
  })

/** What may change without another backend being chosen. */
const INDIFFERENT: Readonly<Record<HashBy, (tuple: FlowTuple) => FlowTuple>> = {
  'all-but-source-port': each => ({ ...each, sourcePort: (each.sourcePort % 65535) + 1 }),
  addresses: each => ({ ...each, sourcePort: 7, port: 523 - each.port, protocol: other(each.protocol) }),
  source: each => ({ ...each, sourcePort: 7, vip: VIPS[VIPS.indexOf(each.vip as never) ^ 1]!, port: 80 }),
}
const other = (protocol: 'tcp' | 'udp') => (protocol === 'tcp' ? 'udp' : 'tcp')

suite('what chooses the backend of a flow', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const by of HashBy.options) {
    test(`${by}: as TypeScript works it out, and indifferent to the rest (rule 4)`, async () => {
      using balancer = await open(by)
      fc.assert(
        fc.property(tuple, each => {
          const slot = slotOf(slotHash(splitFleetKey(FLEET_KEY), each, by))
          assert.ok(slot < RING_SLOTS)
          assert.equal(backendOf(balancer, each), BACKENDS[RING[slot]!]!.address)
          assert.equal(backendOf(balancer, INDIFFERENT[by](each)), backendOf(balancer, each))
        }),
        { numRuns: 300 },
      )
    })

    test(`${by}: other sources get other backends`, async () => {
      using balancer = await open(by)
      const backends = new Set<string>()
      for (let host = 1; host <= 250; host++) {
        for (const [source, vip] of [
          [`198.51.100.${host}`, VIPS[0]],
          [`2001:db8:1::${host}`, VIPS[2]],
        ] as const)
          backends.add(backendOf(balancer, { source, sourcePort: 5, vip, port: 80, protocol: 'tcp' }))
      }
      assert.ok(backends.size > 45, `${backends.size} backends of ${BACKENDS.length}`)
    })
  }

  test('connections of one source end by themselves: their flow entries are told apart', async () => {
    using balancer = await open('source')
    const flow = { source: '198.51.100.1', vip: VIPS[0], port: 80, protocol: 'tcp' } as const
    for (const sourcePort of [1, 2, 3]) balancer.send(buildFrame({ ...flow, sourcePort }))
    balancer.send(buildFrame({ ...flow, sourcePort: 2, tcpFlags: Tcp.fin | Tcp.ack }))
    assert.deepEqual(
      balancer
        .flows()
        .map(({ state }) => state)
        .toSorted(),
      [2, 2, 3],
    )
  })
})
