import { isDeepStrictEqual } from 'node:util'
import type { BgpPeerRow, BgpRouteRow, BgpRow, RowKey } from '../../../../schemas/node-state.ts'
import type { Facts } from '../../../../schemas/report.ts'
import { readKnownSecrets } from '../secrets.ts'
import { type GobgpClient, isDaemonDown } from './client.ts'
import { type GobgpState, listSent, lookAtGobgp, type SeenPeer } from './look.ts'
import type { FamilyName, Path } from './messages.ts'
import { familyOf } from './messages.ts'
import { familyIsUp, isDisabled } from './peers.ts'
import { type ConfiguredRoute, prefixOf, readSentRoute } from './routes.ts'

export interface GobgpObservation {
  readonly rows: Record<RowKey, BgpRow>
  readonly facts: Facts
}

/** What was sent, by peer and family (`tor-1 ipv4`), then by prefix. Of families that are up, and no others. */
type Sent = ReadonlyMap<string, ReadonlyMap<string, Path>>

/** A GoBGP that does not run holds nothing: all is lost with it. Throws what the client throws otherwise. */
export async function observeGobgp(client: GobgpClient, secretsDir: string): Promise<GobgpObservation> {
  try {
    const state = await lookAtGobgp(client)
    const sent = await listAllSent(client, state)
    return { rows: await observeRows(state, sent, secretsDir), facts: factsOf(state, sent) }
  } catch (error) {
    if (isDaemonDown(error)) return { rows: {}, facts: { daemon: 'gobgp', running: false } }
    throw error
  }
}

async function listAllSent(client: GobgpClient, { peers }: GobgpState): Promise<Sent> {
  const channels = peers.flatMap(({ row, peer }) =>
    row.families.filter(family => familyIsUp(peer, family)).map(family => ({ row, family })),
  )
  return new Map(
    await Promise.all(
      channels.map(async ({ row, family }) => {
        const paths = await listSent(client, row.address, family)
        return [channelOf(row.name, family), new Map(paths.map(path => [prefixOf(path), path]))] as const
      }),
    ),
  )
}

const channelOf = (peer: string, family: FamilyName): string => `${peer} ${family}`

async function observeRows(
  state: GobgpState,
  sent: Sent,
  secretsDir: string,
): Promise<Record<RowKey, BgpRow>> {
  const { speaker, policyHolds } = state
  const enabled = state.peers.filter(({ peer }) => !isDisabled(peer))
  const rows: Record<RowKey, BgpRow> = {}
  // A daemon that lets out what it should not is not the one that was asked for.
  if (speaker !== null && policyHolds) rows.speaker = speaker
  for (const row of await markStale(enabled, secretsDir)) rows[`peer/${row.name}`] = row
  for (const route of state.routes)
    rows[`route/${route.row.prefix}`] = observeRoute(route, enabled, sent, speaker?.asn ?? 0)
  return rows
}

/** Peers that have it; of those that are down, those that will. Attributes that differ at one peer are those that are seen. */
function observeRoute(
  { row, sentTo }: ConfiguredRoute,
  peers: readonly SeenPeer[],
  sent: Sent,
  asn: number,
): BgpRouteRow {
  let seen = row
  const having = peers.filter(peer => {
    const { name } = peer.row
    const channel = sent.get(channelOf(name, familyOf(row.prefix)))
    if (channel === undefined) return sentTo.includes(name)
    const path = channel.get(row.prefix)
    if (path === undefined) return false
    const read = readSentRoute(path, row, peer.row.asn !== asn)
    if (!isDeepStrictEqual(read, row)) seen = read
    return true
  })
  return { ...seen, peers: having.map(peer => peer.row.name).sort() }
}

/** A password that is another in GoBGP than in its file; one that cannot be read is no other. */
async function markStale(peers: readonly SeenPeer[], secretsDir: string): Promise<BgpPeerRow[]> {
  const secrets = await readKnownSecrets(
    secretsDir,
    peers.map(({ row }) => row),
  )
  return peers.map(({ row, peer }) => {
    if (row.password === null) return row
    const secret = secrets.get(row.password.file)
    const stale = secret !== undefined && secret !== peer.conf.authPassword
    return { ...row, password: { ...row.password, stale } }
  })
}

const factsOf = ({ peers, foreignPeers }: GobgpState, sent: Sent): Facts => ({
  daemon: 'gobgp',
  running: true,
  sessions: peers.map(({ row, peer }) => ({
    peer: row.name,
    state: stateOf(peer.state.sessionState),
    since: sinceOf(peer),
    lastError: '',
    bfd: 'off',
    exported: Object.fromEntries(
      row.families.map(family => [family, sent.get(channelOf(row.name, family))?.size ?? 0]),
    ),
  })),
  foreignPeers: foreignPeers.map(({ conf }) => conf.neighborAddress).sort(),
})

/** `ESTABLISHED` as BIRD says it. */
const stateOf = (state: string): string => state.charAt(0) + state.slice(1).toLowerCase()

function sinceOf({ state, timers }: SeenPeer['peer']): string {
  const { uptime, downtime } = timers.state
  const since = (state.sessionState === 'ESTABLISHED' ? uptime : downtime)?.seconds ?? 0
  return since > 0 ? new Date(since * 1000).toISOString() : ''
}
