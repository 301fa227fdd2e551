import { createHash } from 'node:crypto'
import { z } from 'zod'
import { sha256 } from '../../../../schemas/digest.ts'
import {
  BgpPeerRow,
  BgpRouteRow,
  type BgpRow,
  BgpSpeakerRow,
  type RowKey,
  type Table,
} from '../../../../schemas/node-state.ts'
import type { Digest } from '../../../../schemas/want.ts'
import { peersOf, type Secrets } from '../secrets.ts'
import { BFD, CONFIG, markOf, PEERS, protocolOf, ROUTES4, ROUTES6, TABLE4, TABLE6 } from './names.ts'

/** The file that Ballast owns, as text, and back. Pure. */

export interface ConfigOptions {
  readonly rows: Table<BgpRow>
  readonly secrets: Secrets
  /** Whether the sessions of BFD are in a protocol of our own; false where the administrator has one. */
  readonly ownBfd: boolean
}

/** What a file says of itself. */
const Header = z.strictObject({
  rows: z.record(z.string(), z.discriminatedUnion('kind', [BgpSpeakerRow, BgpPeerRow, BgpRouteRow])),
  /** SHA-256 of the passwords in it, the first 16 digits, by the name of their file. */
  secrets: z.record(z.string(), z.string()),
})

export interface ConfigFile {
  /** The value of `BALLAST_CONFIG` in it: of all of the text but itself. */
  readonly digest: Digest
  /** As they were composed. `stale` is false. */
  readonly rows: Readonly<Record<RowKey, BgpRow>>
  /** By name of the file, see `fingerprintOf`. */
  readonly secrets: Readonly<Record<string, string>>
}

export const fingerprintOf = (secret: string): string =>
  createHash('sha256').update(secret).digest('hex').slice(0, 16)

/** The secrets of all peers must be there. */
export function composeConfig({ rows, secrets, ownBfd }: ConfigOptions): string {
  const peers = peersOf(rows).sort((a, b) => (a.name < b.name ? -1 : 1))
  const used = peers.flatMap(({ password }) => (password === null ? [] : [password.file]))
  const header: z.infer<typeof Header> = {
    rows: Object.fromEntries(Object.entries(rows).toSorted(([a], [b]) => (a < b ? -1 : 1))) as never,
    secrets: Object.fromEntries(used.toSorted().map(name => [name, fingerprintOf(secrets.get(name)!)])),
  }
  const speaker = Object.values(rows).find(row => row.kind === 'speaker')
  const body = speaker === undefined ? [] : composeBody(speaker, peers, rows, secrets, ownBfd)
  const text = [
    '# Ballast wrote this file and writes it anew with every change. What else BIRD shall do belongs in bird.conf.',
    `${HEADER}${JSON.stringify(header)}`,
    composeDigest(''),
    ...body,
    '',
  ].join('\n')
  return text.replace(composeDigest(''), composeDigest(sha256(text)))
}

/** Null when it is not as it was written. */
export function readConfig(text: string): ConfigFile | null {
  const digest = /^define BALLAST_CONFIG = "([0-9a-f]{64})";$/m.exec(text)?.[1]
  if (digest === undefined || sha256(text.replace(composeDigest(digest), composeDigest(''))) !== digest)
    return null
  const json = text.split('\n').find(line => line.startsWith(HEADER))
  if (json === undefined) return null
  const header = Header.safeParse(parseJson(json.slice(HEADER.length)))
  return header.success ? { digest, rows: header.data.rows, secrets: header.data.secrets } : null
}

const HEADER = '# Of: '
const composeDigest = (digest: string): string => `define ${CONFIG} = "${digest}";`

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function composeBody(
  speaker: BgpSpeakerRow,
  peers: readonly BgpPeerRow[],
  rows: Table<BgpRow>,
  secrets: Secrets,
  ownBfd: boolean,
): string[] {
  const routes = Object.values(rows)
    .filter(row => row.kind === 'route')
    .sort((a, b) => (a.prefix < b.prefix ? -1 : 1))
  const isV6 = ({ prefix }: BgpRouteRow): boolean => prefix.includes(':')
  return [
    `attribute lclist ${PEERS};`,
    `ipv4 table ${TABLE4};`,
    `ipv6 table ${TABLE6};`,
    ...(ownBfd && peers.some(({ bfd }) => bfd !== null) ? [`protocol bfd ${BFD} { }`] : []),
    // An absent list of routes would leave a protocol without use, and no harm done.
    ...composeRoutes(
      ROUTES4,
      'ipv4',
      TABLE4,
      routes.filter(route => !isV6(route)),
      speaker.asn,
    ),
    ...composeRoutes(ROUTES6, 'ipv6', TABLE6, routes.filter(isV6), speaker.asn),
    ...peers.flatMap(peer => composePeer(peer, speaker, secrets)),
  ]
}

function composeRoutes(
  name: string,
  family: 'ipv4' | 'ipv6',
  table: string,
  routes: readonly BgpRouteRow[],
  asn: number,
): string[] {
  return [
    `protocol static ${name} {`,
    `  ${family} { table ${table}; };`,
    ...routes.map(route => `  route ${route.prefix} blackhole {${composeAttributes(route, asn)} };`),
    '}',
  ]
}

/** `bgp_path` is what stands behind the own AS, which peers of other ASes get in front of it. */
function composeAttributes(route: BgpRouteRow, asn: number): string {
  const marks = route.peers
    .toSorted()
    .reduce((list, peer) => `add(${list}, (${markOf(peer).join(',')}))`, '---empty---')
  return [
    ` ${PEERS} = ${marks};`,
    ...route.communities.map(each => ` bgp_community.add((${each.replace(':', ',')}));`),
    ...route.largeCommunities.map(each => ` bgp_large_community.add((${each.replaceAll(':', ',')}));`),
    ...(route.med === null ? [] : [` bgp_med = ${route.med};`]),
    ...(route.localPreference === null ? [] : [` bgp_local_pref = ${route.localPreference};`]),
    ...Array.from({ length: route.prepend }, () => ` bgp_path.prepend(${asn});`),
  ].join('')
}

/**
 * RFC 8212: nothing is taken from a peer, and it gets what says that it is for it. A route server's client is what
 * BIRD calls a peer of another AS that gets a route as it is: BIRD 2.0.12 does not send the MED to any other once
 * there is an export table. The own AS is then added by the filter.
 */
function composePeer(peer: BgpPeerRow, speaker: BgpSpeakerRow, secrets: Secrets): string[] {
  const { bfd, timers } = peer
  const isExternal = peer.asn !== speaker.asn
  return [
    `protocol bgp ${protocolOf(peer.name)} {`,
    '  debug { states };',
    `  router id ${speaker.routerId};`,
    `  local${peer.localAddress === '' ? '' : ` ${peer.localAddress}`} as ${speaker.asn};`,
    `  neighbor ${peer.address} port ${peer.port} as ${peer.asn};`,
    peer.ttl === 1 ? '  direct;' : `  multihop ${peer.ttl};`,
    ...(peer.password === null ? [] : [`  password "${secrets.get(peer.password.file)!}";`]),
    `  hold time ${timers.hold};`,
    `  keepalive time ${timers.keepalive};`,
    `  connect retry time ${timers.retry};`,
    `  connect delay time 1;`,
    `  error wait time 1, ${timers.retry};`,
    peer.gracefulRestart === 0
      ? '  graceful restart off;'
      : `  graceful restart on; graceful restart time ${peer.gracefulRestart};`,
    '  long lived graceful restart off;',
    ...(isExternal ? ['  rs client;'] : []),
    ...(bfd === null ? [] : [`  bfd { interval ${bfd.interval} ms; multiplier ${bfd.multiplier}; };`]),
    ...peer.families.map(family => `  ${composeChannel(family, peer, speaker.asn)}`),
    '}',
  ]
}

function composeChannel(family: 'ipv4' | 'ipv6', peer: BgpPeerRow, asn: number): string {
  const table = family === 'ipv4' ? TABLE4 : TABLE6
  // One of the own AS drops what has its AS in the path (RFC 4271, 9.1.2), also where that was prepended.
  const own = peer.asn === asn ? ` bgp_path.delete(${asn});` : ` bgp_path.prepend(${asn});`
  const filter = `if ! ((${markOf(peer.name).join(',')}) ~ ${PEERS}) then reject;${own} accept;`
  return `${family} { table ${table}; import none; export filter { ${filter} }; export table on; next hop self; export limit ${peer.exportLimit} action block; };`
}
