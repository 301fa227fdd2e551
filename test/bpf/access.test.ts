import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import type { Access } from '../../schemas/node-state.ts'
import { type Balancer, buildObjects, needsRoot, openBalancer } from './balancer.ts'
import { A, send, serviceOf, TCP, TCP6, UDP } from './connections.ts'
import { buildFrame, type PacketFields, Tcp } from './packet.ts'

const open = (access: Access, packets: readonly PacketFields[] = [TCP]): Promise<Balancer> =>
  // Room for all: a flow that displaces another is counted too.
  openBalancer({ services: packets.map(packet => serviceOf(packet, { access })), nearBuckets: 1024 })

/** By another reading of the list than the trie's. */
function isLetIn({ allow, deny, otherwise }: Access, source: string): boolean {
  const address = ipaddr.parse(source)
  const holding = [
    ...allow.map(prefix => [prefix, true] as const),
    ...deny.map(prefix => [prefix, false] as const),
  ]
    .map(([prefix, allowed]) => ({ range: ipaddr.parseCIDR(prefix), allowed }))
    .filter(({ range: [base] }) => base.kind() === address.kind())
    .filter(({ range }) => address.match(range))
    .sort((a, b) => b.range[1] - a.range[1])
  return holding[0]?.allowed ?? otherwise === 'allow'
}

const bits4 = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 32 }))
const prefix4 = bits4.map(([low, bits]) => networkOf(`198.51.100.${low}`, bits))
const prefix6 = bits4.map(([low, bits]) => networkOf(`2001:db8:1::${low.toString(16)}`, bits * 4))
function networkOf(address: string, bits: number): string {
  const text = `${address}/${bits}`
  const network = address.includes(':')
    ? ipaddr.IPv6.networkAddressFromCIDR(text).toRFC5952String()
    : ipaddr.IPv4.networkAddressFromCIDR(text).toString()
  return `${network}/${bits}`
}

const lists = fc
  .record({
    otherwise: fc.constantFrom('allow' as const, 'deny' as const),
    prefixes: fc.uniqueArray(fc.oneof(prefix4, prefix6), { minLength: 1, maxLength: 12 }),
    allowed: fc.integer({ min: 0, max: 12 }),
  })
  .map(
    ({ otherwise, prefixes, allowed }): Access => ({
      otherwise,
      allow: prefixes.slice(0, allowed),
      deny: prefixes.slice(allowed),
    }),
  )

suite('an access list', { skip: needsRoot }, () => {
  before(buildObjects)

  test('lets in whom the longest prefix that holds the source lets in', async () => {
    const hosts = fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { minLength: 20, maxLength: 20 })
    const seen = new Set<boolean>()
    await fc.assert(
      fc.asyncProperty(lists, hosts, async (access, lows) => {
        using balancer = await open(access, [TCP, { ...TCP6, port: 444 }])
        for (const low of lows)
          for (const packet of [
            { ...TCP, source: `198.51.100.${low}` },
            { ...TCP6, port: 444, source: `2001:db8:1::${low.toString(16)}` },
          ]) {
            const letIn = isLetIn(access, packet.source)
            assert.equal(balancer.send(buildFrame(packet)).action, letIn ? 'tx' : 'drop')
            assert.deepEqual(balancer.counted(), letIn ? { forwarded_ring: 1 } : { drop_access: 1 })
            seen.add(letIn)
          }
      }),
      { numRuns: 15 },
    )
    assert.equal(seen.size, 2)
  })

  test('of everything of one family lets in nothing of the other', async () => {
    using balancer = await open({ otherwise: 'deny', allow: ['::/0'], deny: [] }, [
      TCP,
      { ...TCP6, port: 444 },
    ])
    assert.equal(balancer.send(buildFrame(TCP)).action, 'drop')
    assert.equal(balancer.send(buildFrame({ ...TCP6, port: 444 })).action, 'tx')
  })

  test('leaves no trace of whom it does not let in', async () => {
    using balancer = await open({ otherwise: 'deny', allow: ['10.0.0.0/8'], deny: [] }, [TCP, UDP])
    for (const packet of [TCP, UDP]) {
      const frame = buildFrame({ ...packet, tcpFlags: Tcp.syn })
      assert.equal(balancer.send(frame).frame.toString('hex'), frame.toString('hex'))
    }
    assert.deepEqual(balancer.counted(), { drop_access: 2 })
    assert.deepEqual(balancer.flows(), [])
  })

  test('that changes holds for connections that there are', async () => {
    using balancer = await openBalancer({ services: [serviceOf(TCP)] })
    send(balancer, TCP)
    const access: Access = { otherwise: 'allow', allow: [], deny: ['198.51.100.0/24'] }
    await balancer.swapRing(0, serviceOf(TCP, { access }))
    balancer.counted()
    assert.equal(send(balancer, TCP), undefined)
    assert.deepEqual(balancer.counted(), { drop_access: 1 })
    await balancer.swapRing(0, serviceOf(TCP, { slots: 1 }))
    assert.equal(send(balancer, TCP), A.address)
  })

  test('is that of its service, and of no other', async () => {
    using balancer = await openBalancer({
      services: [
        serviceOf(TCP, { access: { otherwise: 'deny', allow: ['10.0.0.0/8'], deny: [] } }),
        serviceOf(UDP, { access: { otherwise: 'deny', allow: ['198.51.100.0/24'], deny: [] } }),
      ],
    })
    assert.equal(send(balancer, TCP), undefined)
    assert.equal(send(balancer, UDP), A.address)
  })
})
