import fc from 'fast-check'
import type { BgpPeerRow, BgpRow, BgpSpeakerRow, Table } from '../../../schemas/node-state.ts'
import { NODE, peerRow, ROUTER, routeRow, speakerRow } from './router-lab.ts'

const AMONG = ['203.0.113.10/32', '203.0.113.11/32', '203.0.113.0/28', '2001:db8::10/128', '2001:db8::/64']
const NUMBER = fc.nat(0xffff)
const LARGE = fc.integer({ min: 0, max: 0x7fff_ffff })

const subset = (values: readonly string[]) => fc.subarray([...values])
const texts = (parts: fc.Arbitrary<number>, count: number) =>
  fc
    .uniqueArray(
      fc.tuple(...Array.from({ length: count }, () => parts)).map(numbers => numbers.join(':')),
      { maxLength: 4 },
    )
    .map(list => list.sort())

/** `tor-1` and `tor-1-v6` are a router that answers; nobody is at the address of `spine`. */
const peers = (daemon: BgpSpeakerRow['daemon']): fc.Arbitrary<BgpPeerRow[]> =>
  fc
    .tuple(
      fc.option(fc.constant(daemon === 'bird' ? peerRow() : peerRow({ families: ['ipv4'] }))),
      // GoBGP sends what is of the family of the session.
      daemon === 'bird' ? fc.constant(null) : fc.option(fc.constant(PEER6)),
      fc.option(
        fc
          .record({
            ttl: fc.integer({ min: 1, max: 3 }),
            port: fc.constantFrom(179, 1790),
            bfd:
              daemon === 'bird' ? fc.constantFrom(null, { interval: 200, multiplier: 4 }) : fc.constant(null),
            timers: fc.constantFrom(
              { hold: 9, keepalive: 3, retry: 1 },
              { hold: 90, keepalive: 30, retry: 5 },
            ),
            gracefulRestart: fc.constantFrom(0, 120),
            exportLimit: fc.constantFrom(50, 100),
            asn: fc.constantFrom(65001, 65002),
          })
          .map(over =>
            peerRow({
              name: 'spine',
              address: '10.9.0.77',
              localAddress: NODE.ipv4,
              families: ['ipv4'],
              ...over,
            }),
          ),
      ),
    )
    .map(list => list.filter(peer => peer !== null))

const PEER6 = peerRow({ name: 'tor-1-v6', address: ROUTER.ipv6, families: ['ipv6'] })

/** Tables that a node may have to hold, with one speaker or none. */
export const bgpTables = (daemon: BgpSpeakerRow['daemon']): fc.Arbitrary<Table<BgpRow>> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constant({}) },
    {
      weight: 6,
      arbitrary: fc
        .tuple(peers(daemon), subset(AMONG))
        .chain(([list, prefixes]) =>
          fc.tuple(fc.constant(list), fc.tuple(...prefixes.map(prefix => route(prefix, list)))),
        )
        .map(([list, routes]) =>
          Object.fromEntries<BgpRow>([
            ['speaker', speakerRow({ daemon })],
            ...list.map(peer => [`peer/${peer.name}`, peer] as const),
            ...routes.map(row => [`route/${row.prefix}`, row] as const),
          ]),
        ),
    },
  )

const route = (prefix: string, list: readonly BgpPeerRow[]) => {
  const family = prefix.includes(':') ? 'ipv6' : 'ipv4'
  const names = list.filter(({ families }) => families.includes(family)).map(({ name }) => name)
  return fc
    .record({
      peers: subset(names.sort()),
      communities: texts(NUMBER, 2),
      largeCommunities: texts(LARGE, 3),
      med: fc.option(LARGE),
      localPreference: fc.option(LARGE),
      prepend: fc.nat(3),
    })
    .map(over => routeRow({ prefix, ...over }))
}
