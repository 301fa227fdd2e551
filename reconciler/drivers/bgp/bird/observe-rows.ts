import type { BgpPeerRow, BgpRouteRow, BgpRow, RowKey } from '../../../../schemas/node-state.ts'
import type { ConfigFile } from './compose-config.ts'
import { markOf, PEERS, protocolOf, ROUTES4, ROUTES6 } from './names.ts'
import type { BirdProtocol, BirdRoute } from './read-replies.ts'

/** What BIRD was seen to hold. */
export interface BirdState {
  readonly protocols: readonly BirdProtocol[]
  /** Those of Ballast's own tables. */
  readonly routes: readonly BirdRoute[]
  /** What was sent, by channel (`ballast_tor.ipv4`), then by prefix. Of channels that are up, and no others. */
  readonly exported: ReadonlyMap<string, ReadonlyMap<string, BirdRoute>>
}

/** The prefix, as the other family's table has none of it. */
const familyOf = (prefix: string): 'ipv4' | 'ipv6' => (prefix.includes(':') ? 'ipv6' : 'ipv4')

/** Whether what is sent to the peer can be seen. */
export const channelIsUp = ({ bgp }: BirdProtocol, family: string): boolean =>
  bgp?.state === 'Established' && bgp.channels[family]?.up === true

/**
 * The rows of a BIRD that runs `config`: sessions as configured (one that was disabled by hand is not there), and
 * routes as they were sent. Pure.
 */
export function observeRows(config: ConfigFile | null, state: BirdState): Record<RowKey, BgpRow> {
  const rows: Record<RowKey, BgpRow> = {}
  const known = Object.values(config?.rows ?? {})
  const speaker = known.find(row => row.kind === 'speaker')
  if (speaker !== undefined) rows.speaker = speaker
  const peers = known.filter(row => row.kind === 'peer')
  for (const peer of peers) if (isEnabled(peer, state)) rows[`peer/${peer.name}`] = peer
  for (const [prefix, route] of routesOf(state))
    rows[`route/${prefix}`] = readRoute(route, peers, speaker?.asn ?? 0, state)
  return rows
}

const isEnabled = (peer: BgpPeerRow, { protocols }: BirdState): boolean =>
  protocols.some(({ name, state }) => name === protocolOf(peer.name) && state !== 'down')

/** Those configured here, and any that was sent to somebody without being so. */
function routesOf({ routes, exported }: BirdState): Map<string, BirdRoute> {
  const sent = [...exported.values()].flatMap(channel => [...channel.values()])
  const own = routes.filter(({ protocol }) => protocol === ROUTES4 || protocol === ROUTES6)
  return new Map([...sent, ...own].map(route => [route.prefix, route]))
}

function readRoute(
  route: BirdRoute,
  peers: readonly BgpPeerRow[],
  asn: number,
  state: BirdState,
): BgpRouteRow {
  const family = familyOf(route.prefix)
  const marks = new Set(numberLists(route.attributes[PEERS]).map(list => list.join(':')))
  let seen = route
  const having = peers.filter(peer => {
    const protocol = state.protocols.find(({ name }) => name === protocolOf(peer.name))
    if (protocol === undefined || !channelIsUp(protocol, family))
      return marks.has(markOf(peer.name).join(':'))
    const found = state.exported.get(`${protocol.name}.${family}`)?.get(route.prefix)
    const sent = found && asConfigured(found, route, peer.asn === asn ? null : asn)
    if (sent !== undefined && !sameAttributes(sent, route)) seen = sent
    return sent !== undefined
  })
  const { attributes } = seen
  return {
    kind: 'route',
    prefix: route.prefix,
    peers: having.map(({ name }) => name).sort(),
    communities: numberLists(attributes['BGP.community'])
      .map(list => list.join(':'))
      .sort(),
    largeCommunities: numberLists(attributes['BGP.large_community'])
      .map(list => list.join(':'))
      .sort(),
    med: numberOf(attributes['BGP.med']),
    localPreference: numberOf(attributes['BGP.local_pref']),
    prepend: (attributes['BGP.as_path'] ?? '').split(' ').filter(asn => asn !== '').length,
  }
}

/**
 * What was sent, with the path that was configured: peers of other ASes get the own one (`asn`) in front of it, those of
 * the own AS an empty one.
 */
function asConfigured(sent: BirdRoute, configured: BirdRoute, asn: number | null): BirdRoute {
  const { 'BGP.as_path': path = '', ...rest } = sent.attributes
  const behind =
    asn !== null
      ? path.replace(new RegExp(`^${asn}( |$)`), '')
      : path === ''
        ? (configured.attributes['BGP.as_path'] ?? '')
        : path
  return { ...sent, attributes: behind === '' ? rest : { ...rest, 'BGP.as_path': behind } }
}

const ANNOUNCED = [
  'BGP.as_path',
  'BGP.med',
  'BGP.local_pref',
  'BGP.community',
  'BGP.large_community',
] as const

const sameAttributes = (a: BirdRoute, b: BirdRoute): boolean =>
  ANNOUNCED.every(name => a.attributes[name] === b.attributes[name])

/** `(65001,100) (65001,101)`, `(1, 2, 3)` */
const numberLists = (text = ''): number[][] =>
  [...text.matchAll(/\(([\d, ]+)\)/g)].map(([, list]) => list!.split(',').map(Number))

const numberOf = (text: string | undefined): number | null => (text === undefined ? null : Number(text))
