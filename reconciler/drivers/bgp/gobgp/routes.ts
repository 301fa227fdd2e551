import { isDeepStrictEqual } from 'node:util'
import { canonicalAddress } from '../../../../schemas/address.ts'
import type { BgpPeerRow, BgpRouteRow } from '../../../../schemas/node-state.ts'
import { isMark, markOf, prependMarkOf, prependOf, textOf } from './marks.ts'
import {
  type Attribute,
  FAMILIES,
  type FamilyName,
  familyOf,
  type LargeCommunity,
  type Path,
} from './messages.ts'

/** Routes as GoBGP has them, and back. Pure. */

/** As it stands in GoBGP's own table: `row.peers` are those that it is for, of which these get it. */
export interface ConfiguredRoute {
  readonly row: BgpRouteRow
  readonly sentTo: readonly string[]
}

/** RFC 4271: what no other says is 100. */
const DEFAULT_LOCAL_PREFERENCE = 100

const TYPE = 'type.googleapis.com/apipb.'

export const prefixOf = ({ nlri }: Path): string => `${canonicalAddress(nlri.prefix)}/${nlri.prefixLen}`

export function composePath({ row, sentTo }: ConfiguredRoute): object {
  const family = FAMILIES[familyOf(row.prefix)]
  const nlri = composeNlri(row.prefix)
  // The unspecified address: each session puts its own there.
  const nextHop =
    familyOf(row.prefix) === 'ipv4'
      ? { '@type': `${TYPE}NextHopAttribute`, nextHop: '0.0.0.0' }
      : { '@type': `${TYPE}MpReachNLRIAttribute`, family, nextHops: ['::'], nlris: [nlri] }
  const marks = [
    ...row.peers.map(peer => markOf(peer, sentTo.includes(peer))),
    // Also where it is 0: it says that the route is Ballast's.
    prependMarkOf(row.prepend),
  ]
  const large = [...row.largeCommunities.map(readLarge), ...marks]
  return {
    family,
    nlri,
    pattrs: [
      { '@type': `${TYPE}OriginAttribute`, origin: 0 },
      nextHop,
      ...(row.med === null ? [] : [{ '@type': `${TYPE}MultiExitDiscAttribute`, med: row.med }]),
      ...(row.localPreference === null
        ? []
        : [{ '@type': `${TYPE}LocalPrefAttribute`, localPref: row.localPreference }]),
      ...(row.communities.length === 0
        ? []
        : [{ '@type': `${TYPE}CommunitiesAttribute`, communities: row.communities.map(readCommunity) }]),
      { '@type': `${TYPE}LargeCommunitiesAttribute`, communities: large },
    ],
  }
}

/** What withdraws it, whatever its attributes are. */
export const composeWithdrawal = (prefix: string): object => ({
  family: FAMILIES[familyOf(prefix)],
  nlri: composeNlri(prefix),
  pattrs: [],
  isWithdraw: true,
})

function composeNlri(text: string): Attribute & Path['nlri'] {
  const [prefix = '', length] = text.split('/')
  return { '@type': `${TYPE}IPAddressPrefix`, prefixLen: Number(length), prefix }
}

/** Null for one that Ballast did not mark: it goes to nobody. */
export function readConfiguredRoute(path: Path, peers: readonly BgpPeerRow[]): ConfiguredRoute | null {
  const large = largeCommunitiesOf(path)
  const marks = new Set(large.filter(isMark).map(textOf))
  if (marks.size === 0) return null
  const family = familyOf(path.nlri.prefix)
  const known = peers.filter(({ families }) => families.includes(family)).map(({ name }) => name)
  const sentTo = known.filter(name => marks.has(textOf(markOf(name, true))))
  const heldBack = known.filter(name => marks.has(textOf(markOf(name, false))))
  return {
    row: { ...readAttributes(path), peers: [...sentTo, ...heldBack].sort(), prepend: prependOf(large) },
    sentTo: sentTo.sort(),
  }
}

/** What was sent to a peer, in the words of the route that it was made of: own AS and defaults are none of it. */
export function readSentRoute(path: Path, configured: BgpRouteRow, isExternal: boolean): BgpRouteRow {
  const sent = readAttributes(path)
  const isDefault = sent.localPreference === DEFAULT_LOCAL_PREFERENCE && configured.localPreference === null
  const asns = asPathOf(path).length
  return {
    ...sent,
    localPreference: isExternal ? configured.localPreference : isDefault ? null : sent.localPreference,
    // Peers of the own AS get a path without it, also where it was prepended.
    prepend: isExternal ? Math.max(asns - 1, 0) : asns === 0 ? configured.prepend : asns,
    peers: configured.peers,
  }
}

export const sameRoute = (a: ConfiguredRoute, b: ConfiguredRoute): boolean => isDeepStrictEqual(a, b)

function readAttributes(path: Path): BgpRouteRow {
  return {
    kind: 'route',
    prefix: prefixOf(path),
    peers: [],
    communities: (find<{ communities: number[] }>(path, 'CommunitiesAttribute')?.communities ?? [])
      .map(each => `${each >>> 16}:${each & 0xffff}`)
      .sort(),
    largeCommunities: largeCommunitiesOf(path)
      .filter(each => !isMark(each))
      .map(textOf)
      .sort(),
    med: find<{ med: number }>(path, 'MultiExitDiscAttribute')?.med ?? null,
    localPreference: find<{ localPref: number }>(path, 'LocalPrefAttribute')?.localPref ?? null,
    prepend: 0,
  }
}

const find = <Found>({ pattrs }: Path, name: string): Found | undefined =>
  pattrs.find(each => each['@type'] === `${TYPE}${name}`) as Found | undefined

const largeCommunitiesOf = (path: Path): readonly LargeCommunity[] =>
  find<{ communities: LargeCommunity[] }>(path, 'LargeCommunitiesAttribute')?.communities ?? []

const asPathOf = (path: Path): number[] =>
  (find<{ segments: { numbers: number[] }[] }>(path, 'AsPathAttribute')?.segments ?? []).flatMap(
    ({ numbers }) => numbers,
  )

function readCommunity(text: string): number {
  const [asn, value] = text.split(':').map(Number)
  return asn! * 0x1_0000 + value!
}

function readLarge(text: string): LargeCommunity {
  const [globalAdmin, localData1, localData2] = text.split(':').map(Number)
  return { globalAdmin: globalAdmin!, localData1: localData1!, localData2: localData2! }
}

/**
 * Who gets what, when some peers take fewer prefixes of a family than are for them: the first ones do. By prefix, as
 * text, so that it does not depend on what came first.
 */
export function limitRoutes(rows: readonly BgpRouteRow[], peers: readonly BgpPeerRow[]): ConfiguredRoute[] {
  const left = new Map<string, number>()
  const takes = (name: string, family: FamilyName): boolean => {
    const peer = peers.find(each => each.name === name)
    if (peer === undefined || !peer.families.includes(family)) return false
    const key = `${name} ${family}`
    const room = left.get(key) ?? peer.exportLimit
    left.set(key, room - 1)
    return room > 0
  }
  return rows
    .toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1))
    .map(row => ({ row, sentTo: row.peers.filter(name => takes(name, familyOf(row.prefix))) }))
}
