import type { BgpPeerRow, BgpSpeakerRow } from '../../../../schemas/node-state.ts'
import { ANY_MARK, markOf, prependMarkOf, textOf } from './marks.ts'
import { type DefinedSet, familyOf, type PolicyAssignment } from './messages.ts'

/**
 * What GoBGP lets out, and what in: RFC 8212. Nothing comes in. Out goes to a peer what was added here and is marked for
 * it; what nothing is said about stays. Pure.
 */

const EXPORT_POLICY = 'ballast-export'
const IMPORT_POLICY = 'ballast-import'
/** In the order of `composePolicies`; what neither accepts is rejected. */
export const ASSIGNED = [
  { direction: 'IMPORT', policy: IMPORT_POLICY },
  { direction: 'EXPORT', policy: EXPORT_POLICY },
] as const

/** Of no peer: that of the whole daemon. */
export const GLOBAL = 'global'

/** More than a manifest can ask for. */
const MOST_PREPENDED = 16

const NEIGHBOR = 'NEIGHBOR'
const LARGE_COMMUNITY = 'LARGE_COMMUNITY'
const EXTERNAL = 'ballast-external'

export interface Policies {
  readonly definedSets: readonly DefinedSet[]
  readonly policies: PolicyAssignment['policies']
}

export function composePolicies({ asn }: BgpSpeakerRow, peers: readonly BgpPeerRow[]): Policies {
  const sorted = peers.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const external = sorted.filter(peer => peer.asn !== asn)
  const times = external.length === 0 ? [] : Array.from({ length: MOST_PREPENDED }, (_, index) => index + 1)
  return {
    definedSets: [
      ...sorted.flatMap(({ name, address }) => [
        { definedType: NEIGHBOR, name: neighborOf(name), list: [hostOf(address)] },
        { definedType: LARGE_COMMUNITY, name: marksOf(name), list: [textOf(markOf(name, true))] },
      ]),
      // An empty set of neighbours would be every neighbour.
      ...(external.length === 0
        ? []
        : [{ definedType: NEIGHBOR, name: EXTERNAL, list: external.map(({ address }) => hostOf(address)) }]),
      ...times.map(each => ({
        definedType: LARGE_COMMUNITY,
        name: prependOf(each),
        list: [textOf(prependMarkOf(each))],
      })),
    ],
    policies: [
      {
        // What is added here is imported too.
        name: IMPORT_POLICY,
        statements: [
          {
            name: 'ballast-own',
            conditions: { routeType: 'ROUTE_TYPE_LOCAL' },
            actions: { routeAction: 'ACCEPT' },
          },
        ],
      },
      {
        name: EXPORT_POLICY,
        statements: [
          ...times.map(each => ({
            name: prependOf(each),
            conditions: {
              neighborSet: { type: 'ANY', name: EXTERNAL },
              largeCommunitySet: { type: 'ANY', name: prependOf(each) },
            },
            actions: { asPrepend: { asn, repeat: each } },
          })),
          ...sorted.map(({ name }) => ({
            name: `ballast-accept-${name}`,
            conditions: {
              neighborSet: { type: 'ANY', name: neighborOf(name) },
              largeCommunitySet: { type: 'ANY', name: marksOf(name) },
              routeType: 'ROUTE_TYPE_LOCAL',
            },
            actions: { largeCommunity: { type: 'REMOVE', communities: [ANY_MARK] }, routeAction: 'ACCEPT' },
          })),
        ],
      },
    ],
  }
}

const neighborOf = (peer: string): string => `ballast-at-${peer}`
const marksOf = (peer: string): string => `ballast-to-${peer}`
const prependOf = (times: number): string => `ballast-prepend-${times}`
const hostOf = (address: string): string => `${address}/${familyOf(address) === 'ipv4' ? 32 : 128}`
