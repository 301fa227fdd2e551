import { isDeepStrictEqual } from 'node:util'
import type { BgpPeerRow, BgpSpeakerRow } from '../../../../schemas/node-state.ts'
import type { GobgpClient } from './client.ts'
import {
  type DefinedSet,
  type Destination,
  FAMILIES,
  type FamilyName,
  type Global,
  type Path,
  type Peer,
  type PolicyAssignment,
} from './messages.ts'
import { readPeer } from './peers.ts'
import { ASSIGNED, composePolicies, GLOBAL, type Policies } from './policy.ts'
import { type ConfiguredRoute, readConfiguredRoute } from './routes.ts'

/** What GoBGP was seen to hold. */
export interface GobgpState {
  /** Null: its BGP was not started, and it has nothing else. */
  readonly speaker: BgpSpeakerRow | null
  readonly peers: readonly SeenPeer[]
  /** Of nobody but Ballast: none gets anything. */
  readonly foreignPeers: readonly Peer[]
  readonly routes: readonly ConfiguredRoute[]
  /** Whether what is let out and in is as it should be for these peers. */
  readonly policyHolds: boolean
}

export interface SeenPeer {
  readonly row: BgpPeerRow
  readonly peer: Peer
}

const NOTHING: GobgpState = { speaker: null, peers: [], foreignPeers: [], routes: [], policyHolds: false }

export async function lookAtGobgp(client: GobgpClient): Promise<GobgpState> {
  const { global } = await client.call<{ global: Global }>('GetBgp', {})
  if (global.asn === 0) return NOTHING
  const speaker: BgpSpeakerRow = {
    kind: 'speaker',
    daemon: 'gobgp',
    asn: global.asn,
    routerId: global.routerId,
  }
  const [all, paths, policies] = await Promise.all([
    client.list<{ peer: Peer }>('ListPeer', {}),
    listOwnPaths(client),
    readPolicies(client),
  ])
  // GoBGP's own order is another each time.
  const seen = all.map(({ peer }) => ({ peer, row: readPeer(peer) })).toSorted(byAddress)
  const peers = seen.filter((each): each is SeenPeer => each.row !== null)
  const rows = peers.map(({ row }) => row)
  return {
    speaker,
    peers,
    foreignPeers: seen.filter(({ row }) => row === null).map(({ peer }) => peer),
    routes: paths
      .map(path => readConfiguredRoute(path, rows))
      .filter(route => route !== null)
      .toSorted((a, b) => (a.row.prefix < b.row.prefix ? -1 : 1)),
    policyHolds: isDeepStrictEqual(policies, normalize(composePolicies(speaker, rows))),
  }
}

const byAddress = (a: { peer: Peer }, b: { peer: Peer }): number =>
  a.peer.conf.neighborAddress < b.peer.conf.neighborAddress ? -1 : 1

/** Those that were added here, and came from no peer. */
async function listOwnPaths(client: GobgpClient): Promise<Path[]> {
  const families = await Promise.all(
    Object.values(FAMILIES).map(family => listDestinations(client, { tableType: 'GLOBAL', family })),
  )
  return families
    .flat()
    .flatMap(({ paths }) => paths)
    .filter(({ neighborIp }) => neighborIp === '<nil>' || neighborIp === '')
}

async function listDestinations(client: GobgpClient, request: object): Promise<Destination[]> {
  const replies = await client.list<{ destination: Destination }>('ListPath', request)
  return replies.map(({ destination }) => destination)
}

/** GoBGP works out anew what this peer gets, from routes and policy; the policy did not change since the session began. */
export async function listSent(client: GobgpClient, address: string, family: FamilyName): Promise<Path[]> {
  const request = { tableType: 'ADJ_OUT', name: address, family: FAMILIES[family] }
  return (await listDestinations(client, request)).flatMap(({ paths }) => paths)
}

/** As `normalize` gives them. */
async function readPolicies(client: GobgpClient): Promise<unknown> {
  const [assignments, ...sets] = await Promise.all([
    client.list<{ assignment: PolicyAssignment }>('ListPolicyAssignment', { name: GLOBAL }),
    ...['NEIGHBOR', 'LARGE_COMMUNITY'].map(definedType =>
      client.list<{ definedSet: DefinedSet }>('ListDefinedSet', { definedType }),
    ),
  ])
  const assigned = ASSIGNED.map(({ direction }) =>
    assignments.map(({ assignment }) => assignment).find(each => each.direction === direction),
  )
  const areAssigned = ASSIGNED.every(({ policy }, index) => {
    const { defaultAction, policies = [] } = assigned[index] ?? {}
    return defaultAction === 'REJECT' && policies.map(({ name }) => name).join() === policy
  })
  if (!areAssigned) return null
  const definedSets = sets.flatMap(replies => replies.map(({ definedSet }) => definedSet))
  return normalize({ definedSets, policies: assigned.flatMap(each => each!.policies) })
}

/** Without what was not said, and without the order of sets, which GoBGP does not keep. */
function normalize({ definedSets, policies }: Policies): unknown {
  const sets = definedSets
    .filter(({ name }) => name.startsWith('ballast-'))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    // A large community is anchored at both ends.
    .map(set => ({ ...set, list: set.list.map(each => each.replace(/^\^(.*)\$$/, '$1')) }))
  return said({ definedSets: sets, policies })
}

// -1 is what GoBGP says of RPKI where nothing was asked.
const UNSAID = new Set<unknown>([null, undefined, '', 0, false, 'NONE', 'ROUTE_TYPE_NONE', -1])

function said(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(said)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
    .map(([key, each]) => [key, said(each)] as const)
    .filter(([, each]) => !UNSAID.has(each) && !(Array.isArray(each) && each.length === 0))
    .filter(([, each]) => !(typeof each === 'object' && Object.keys(each as object).length === 0))
  return Object.fromEntries(entries)
}
