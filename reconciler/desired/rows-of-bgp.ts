import type { AnnounceSettings } from '../../schemas/manifest/announce.ts'
import type { BgpPeer } from '../../schemas/manifest/bgp-peer.ts'
import type { Node } from '../../schemas/manifest/node.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type {
  BgpConditionRow,
  BgpPeerRow,
  BgpRouteRow,
  BgpRow,
  BgpSpeakerRow,
  RowKey,
} from '../../schemas/node-state.ts'
import {
  type Family,
  familiesOf,
  familyOf,
  localAddressOf,
  nodesOfPeer,
  prefixFor,
  routerIdOf,
} from '../manifest/announcements.ts'
import { selectNodes } from '../manifest/select-nodes.ts'

interface BgpInput {
  /** Each sorted by name. */
  readonly nodes: readonly Node[]
  readonly services: readonly Service[]
  readonly peers: readonly BgpPeer[]
  /** Keys of the rows of a service in the tables of a node that serves it. */
  keysOf(service: Service): readonly RowKey[]
}

/**
 * The BGP tables of nodes that speak BGP, by name: its sessions, and routes to the VIPs that it serves, each with the
 * condition that it is announced under. A node in maintenance has its sessions, and no routes.
 */
export function bgpTables({ nodes, services, peers, keysOf }: BgpInput): Map<string, Record<RowKey, BgpRow>> {
  const speakers = nodes.filter(({ spec }) => spec.bgp !== undefined)
  const sessions = new Map(speakers.map(node => [node, [] as BgpPeer[]]))
  for (const peer of peers) for (const node of nodesOfPeer(peer, speakers)) sessions.get(node)!.push(peer)
  const tables = new Map(
    speakers.map(node => [node.metadata.name, startTable(node, sessions.get(node)!)] as const),
  )
  if (speakers.length === 0) return tables
  for (const service of services) {
    const { announce } = service.spec
    if (announce === undefined || announce === false) continue
    const keys = keysOf(service)
    for (const node of selectNodes(service.spec.nodes, speakers)) {
      if (node.spec.maintenance) continue
      const table = tables.get(node.metadata.name)!
      for (const vip of service.spec.vip)
        addRoute(table, prefixFor(vip, announce), { announce, keys, peers: sessions.get(node)! })
    }
  }
  return tables
}

function startTable(node: Node, peers: readonly BgpPeer[]): Record<RowKey, BgpRow> {
  const { daemon, asn } = node.spec.bgp!
  const routerId = routerIdOf(node)
  if (routerId === null) throw new TypeError(`Node ${node.metadata.name} has no router id`)
  const speaker: BgpSpeakerRow = { kind: 'speaker', daemon, asn, routerId }
  return {
    speaker,
    ...Object.fromEntries(peers.map(peer => [`peer/${peer.metadata.name}`, peerRow(peer, node)])),
  }
}

function peerRow(peer: BgpPeer, node: Node): BgpPeerRow {
  const { spec, metadata } = peer
  const { hold, retry } = spec.timers
  const localAddress = localAddressOf(peer, node)
  if (localAddress === null)
    throw new TypeError(`Node ${node.metadata.name} has no address for ${metadata.name}`)
  return {
    kind: 'peer',
    name: metadata.name,
    address: spec.address,
    localAddress,
    asn: spec.asn,
    port: spec.port,
    password: spec.passwordFile === undefined ? null : { file: spec.passwordFile, stale: false },
    ttl: spec.multihop ?? 1,
    bfd: spec.bfd ?? null,
    timers: { hold, keepalive: spec.timers.keepalive ?? Math.floor(hold / 3), retry },
    gracefulRestart: spec.gracefulRestart,
    families: [...familiesOf(peer)].sort(),
    exportLimit: spec.exportLimit,
  }
}

interface Announcement {
  readonly announce: AnnounceSettings
  readonly keys: readonly RowKey[]
  /** Of the node. */
  readonly peers: readonly BgpPeer[]
}

/** Services that announce one prefix say the same of it. */
function addRoute(table: Record<RowKey, BgpRow>, prefix: string, announcement: Announcement): void {
  const { announce, keys, peers } = announcement
  table[`route/${prefix}`] = {
    kind: 'route',
    prefix,
    peers: receiversOf(familyOf(prefix), announce, peers),
    communities: unique(announce.communities),
    largeCommunities: unique(announce.largeCommunities),
    med: announce.med ?? null,
    localPreference: announce.localPreference ?? null,
    prepend: announce.prepend,
  } satisfies BgpRouteRow
  const known = table[`condition/${prefix}`]
  const others = known?.kind === 'condition' ? known.services : []
  const { minHealthyBackends } = announce
  const services = [...others, ...keys.map(key => ({ key, minHealthyBackends }))]
  if (services.length === 0) return
  table[`condition/${prefix}`] = {
    kind: 'condition',
    prefix,
    services: services.sort((a, b) => (a.key < b.key ? -1 : 1)),
  } satisfies BgpConditionRow
}

const receiversOf = (family: Family, announce: AnnounceSettings, peers: readonly BgpPeer[]): string[] =>
  peers
    .filter(peer => familiesOf(peer).includes(family))
    .map(({ metadata }) => metadata.name)
    .filter(name => announce.peers === undefined || announce.peers.includes(name))
    .sort()

const unique = (texts: readonly string[]): string[] => [...new Set(texts.map(canonicalNumbers))].sort()

/** `064512:1` is `64512:1`. */
const canonicalNumbers = (text: string): string => text.split(':').map(Number).join(':')
