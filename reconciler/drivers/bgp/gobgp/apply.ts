import { isDeepStrictEqual } from 'node:util'
import type { Edit } from '../../../../schemas/edit.ts'
import type { BgpPeerRow, BgpRow, BgpSpeakerRow, Table } from '../../../../schemas/node-state.ts'
import { editRows } from '../batch.ts'
import { peersOf, readSecrets, type Secrets } from '../secrets.ts'
import { type GobgpClient, isDaemonDown } from './client.ts'
import { type GobgpState, lookAtGobgp, type SeenPeer } from './look.ts'
import { FAMILIES, familyOf } from './messages.ts'
import { composePeer, isDisabled } from './peers.ts'
import { ASSIGNED, composePolicies, GLOBAL } from './policy.ts'
import { composePath, composeWithdrawal, limitRoutes, sameRoute } from './routes.ts'

const BGP_PORT = 179

/**
 * Makes GoBGP as the edits say. What it knows is gone with it: when it does not run, withdrawals are done, and this
 * throws for anything else. Each step leaves what is announced old or new, and one that ended between two steps is
 * gone on with by the next.
 */
export async function applyGobgp(
  client: GobgpClient,
  secretsDir: string,
  edits: readonly Edit<BgpRow>[],
): Promise<void> {
  let state: GobgpState
  try {
    state = await lookAtGobgp(client)
  } catch (error) {
    if (isDaemonDown(error) && edits.every(({ op }) => op === 'delete')) return
    throw error
  }
  const wanted = editRows(configuredRows(state), edits)
  const speaker = wanted.speaker
  if (speaker?.kind !== 'speaker') {
    if (state.speaker !== null) await client.call('StopBgp', {})
    return
  }
  const secrets = await readSecrets(secretsDir, peersOf(wanted))
  if (!isDeepStrictEqual(state.speaker, speaker)) {
    await restart(client, state, speaker)
    state = await lookAtGobgp(client)
  }
  await makeSo(client, { state, wanted, speaker, secrets })
}

interface Work {
  readonly state: GobgpState
  readonly wanted: Table<BgpRow>
  readonly speaker: BgpSpeakerRow
  readonly secrets: Secrets
}

/** As they were asked for: routes for all of their peers, also those that take no more. */
const configuredRows = ({ speaker, peers, routes }: GobgpState): Table<BgpRow> =>
  Object.fromEntries<BgpRow>([
    ...(speaker === null ? [] : [['speaker', speaker] as const]),
    ...peers.map(({ row }) => [`peer/${row.name}`, row] as const),
    ...routes.map(({ row }) => [`route/${row.prefix}`, row] as const),
  ])

/** A number of the own AS, or of the router, is part of every session. */
async function restart(
  client: GobgpClient,
  state: GobgpState,
  { asn, routerId }: BgpSpeakerRow,
): Promise<void> {
  if (state.speaker !== null) await client.call('StopBgp', {})
  await client.call('StartBgp', { global: { asn, routerId, listenPort: BGP_PORT } })
}

/**
 * Sessions that go, then the policy, then the routes, then sessions that come: no session is there before what it may
 * get is settled. A session that was there while the policy was another begins anew: GoBGP would not withdraw what
 * went out.
 */
async function makeSo(client: GobgpClient, work: Work): Promise<void> {
  const { state, wanted, secrets } = work
  const peers = peersOf(wanted)
  const kept = state.policyHolds ? state.peers.filter(seen => isAsWanted(seen, peers, secrets)) : []
  const foreign = state.foreignPeers
    .map(({ conf }) => conf.neighborAddress)
    .filter(address => peers.some(peer => peer.address === address))
  const gone = state.peers.filter(seen => !kept.includes(seen)).map(({ peer }) => peer.conf.neighborAddress)
  for (const address of [...gone, ...foreign]) await client.call('DeletePeer', { address })

  if (!state.policyHolds || !samePeers(state.peers, peers)) await setPolicies(client, work.speaker, peers)
  await changeRoutes(client, work)

  for (const peer of peers) {
    if (kept.some(({ row }) => row.name === peer.name)) continue
    const secret = peer.password === null ? '' : secrets.get(peer.password.file)!
    await client.call('AddPeer', { peer: composePeer(peer, secret) })
  }
  for (const { peer } of kept)
    if (isDisabled(peer)) await client.call('EnablePeer', { address: peer.conf.neighborAddress })
}

const isAsWanted = ({ row, peer }: SeenPeer, wanted: readonly BgpPeerRow[], secrets: Secrets): boolean =>
  wanted.some(
    each =>
      isDeepStrictEqual(each, row) &&
      (each.password === null || secrets.get(each.password.file) === peer.conf.authPassword),
  )

/** The policy says no more of them than that. */
function samePeers(seen: readonly SeenPeer[], wanted: readonly BgpPeerRow[]): boolean {
  const said = (rows: readonly BgpPeerRow[]) =>
    rows.map(({ name, address, asn }) => `${name} ${address} ${asn}`).sort()
  return isDeepStrictEqual(said(seen.map(({ row }) => row)), said(wanted))
}

async function setPolicies(client: GobgpClient, speaker: BgpSpeakerRow, peers: readonly BgpPeerRow[]) {
  await client.call('SetPolicies', composePolicies(speaker, peers))
  for (const { direction, policy } of ASSIGNED) {
    const assignment = { name: GLOBAL, direction, policies: [{ name: policy }], defaultAction: 'REJECT' }
    await client.call('SetPolicyAssignment', { assignment })
  }
}

/** What comes before what goes: a prefix that takes the place of another leaves no gap. */
async function changeRoutes(client: GobgpClient, { state, wanted }: Work): Promise<void> {
  const rows = Object.values(wanted).filter(row => row.kind === 'route')
  const routes = limitRoutes(rows, peersOf(wanted))
  const changed = routes.filter(route => !state.routes.some(each => sameRoute(each, route)))
  await Promise.all(changed.map(route => client.call('AddPath', { path: composePath(route) })))
  const gone = state.routes.filter(({ row }) => wanted[`route/${row.prefix}`] === undefined)
  await Promise.all(
    gone.map(({ row }) =>
      client.call('DeletePath', {
        path: composeWithdrawal(row.prefix),
        family: FAMILIES[familyOf(row.prefix)],
      }),
    ),
  )
}
