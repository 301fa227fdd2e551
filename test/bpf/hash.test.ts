import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import { type FlowTuple, flowHash, slotOf, splitFleetKey } from '../../reconciler/ring/flow-hash.ts'
import type { Protocol } from '../../schemas/node-state.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { type Balancer, buildObjects, member, needsRoot, openBalancer } from './balancer.ts'
import { buildFrame, ETHERNET_BYTES } from './packet.ts'

const MEMBERS = 1024
const TUPLES_PER_KIND = 1500
const OUTER_SOURCE = ETHERNET_BYTES + 8
const OUTER_DESTINATION = ETHERNET_BYTES + 24

const KINDS = [
  { vip: '203.0.113.10', port: 443, protocol: 'tcp' },
  { vip: '198.18.255.1', port: 1, protocol: 'tcp' },
  { vip: '203.0.113.10', port: 53, protocol: 'udp' },
  { vip: '192.0.2.255', port: 65_535, protocol: 'udp' },
  { vip: '2001:db8:ffff::10', port: 443, protocol: 'tcp' },
  { vip: 'fd00:1234:5678:9abc:def0:1234:5678:9abc', port: 256, protocol: 'tcp' },
  { vip: '2001:db8:ffff::10', port: 53, protocol: 'udp' },
  { vip: '2001:db8::', port: 65_280, protocol: 'udp' },
] as const satisfies readonly { vip: string; port: number; protocol: Protocol }[]

const KEYS = [
  new Uint8Array(16),
  new Uint8Array(16).fill(0xff),
  Uint8Array.from({ length: 16 }, (_, i) => 37 * i + 11),
]

/** Every service has the same many members, each in every 1,024th slot, at an address that says its index. */
const openForHash = (fleetKey: Uint8Array): Promise<Balancer> =>
  openBalancer({
    fleetKey,
    nearBuckets: 16_384,
    settings: { sources: { ipv4: '', ipv6: '2001:db8:64::/64' } },
    services: KINDS.map(kind => ({
      ...kind,
      members: Array.from({ length: MEMBERS }, (_, index) =>
        member(`2001:db8:9::${(index + 1).toString(16)}`),
      ),
      slots: Uint16Array.from({ length: RING_SLOTS }, (_, slot) => slot % MEMBERS),
    })),
  })

suite('the hash of the program and that of TypeScript', { skip: needsRoot }, () => {
  before(buildObjects)

  for (const fleetKey of KEYS) {
    const name = Buffer.from(fleetKey).toString('hex')
    test(`agree on all 64 bits and on the slot, for the key ${name} (rule 4)`, async () => {
      using balancer = await openForHash(fleetKey)
      const key = splitFleetKey(fleetKey)
      for (const kind of KINDS) {
        const source = kind.vip.includes(':') ? fc.ipV6() : fc.ipV4()
        const client = fc.record({ source, sourcePort: fc.integer({ min: 0, max: 65_535 }) })
        const runs = Math.ceil(TUPLES_PER_KIND / KEYS.length)
        fc.assert(
          fc.property(client, fields => assertAgreement(balancer, key, { ...fields, ...kind })),
          { numRuns: runs },
        )
      }
    })
  }
})

/** The hash is seen in the outer source, whose last 64 bits it is, in little-endian order. */
function assertAgreement(balancer: Balancer, key: ReturnType<typeof splitFleetKey>, tuple: FlowTuple): void {
  const { action, frame } = balancer.send(buildFrame({ ...tuple, tcpFlags: 0x02 }))
  assert.equal(action, 'tx')
  const hash = flowHash(key, tuple)
  assert.equal(frame.readBigUInt64LE(OUTER_SOURCE + 8), hash)
  const index = frame.readUInt16BE(OUTER_DESTINATION + 14) - 1
  assert.equal(index, slotOf(hash) % MEMBERS)
}
