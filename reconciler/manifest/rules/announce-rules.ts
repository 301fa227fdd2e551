import { isDeepStrictEqual } from 'node:util'
import type { AnnounceSettings } from '../../../schemas/manifest/announce.ts'
import type { BgpPeer } from '../../../schemas/manifest/bgp-peer.ts'
import type { Node } from '../../../schemas/manifest/node.ts'
import { familiesOf, familyOf, nodesOfPeer, prefixFor } from '../announcements.ts'
import type { ManifestOf } from '../manifest.ts'
import { suggest } from '../suggest.ts'
import { ANNOUNCE, type Announced, announcedIn } from './announced.ts'
import { peersIn } from './bgp-peer-rules.ts'
import type { Rule, RuleContext } from './rule.ts'

/** RFC 8326. */
const GRACEFUL_SHUTDOWN = '65535:0'

/** The peers of every node. */
function sessionsIn(context: RuleContext): Map<ManifestOf<Node>, ManifestOf<BgpPeer>[]> {
  const sessions = new Map<ManifestOf<Node>, ManifestOf<BgpPeer>[]>()
  for (const peer of peersIn(context))
    for (const node of nodesOfPeer(peer, context.nodes))
      sessions.set(node, [...(sessions.get(node) ?? []), peer])
  return sessions
}

const announcePeer: Rule = {
  id: 'announce-peer',
  severity: 'error',
  *check(context) {
    const known = peersIn(context).map(({ metadata }) => metadata.name)
    for (const { service, announce } of announcedIn(context))
      for (const [index, name] of (announce.peers ?? []).entries())
        if (!known.includes(name) && !context.mayExist('BgpPeer', name))
          yield {
            at: service.locate([...ANNOUNCE, 'peers', index]),
            message: `There is no BgpPeer ${name}.`,
            hint: suggest(name, known, 'Add one of this name, or name one that exists.'),
          }
  },
}

const announceNowhere: Rule = {
  id: 'announce-nowhere',
  severity: 'warning',
  *check(context) {
    if (context.mayExist('BgpPeer', null) || context.mayExist('Node', null)) return
    const sessions = sessionsIn(context)
    for (const { service, announce } of announcedIn(context))
      for (const node of context.nodesOf(service)) {
        const peers = (sessions.get(node) ?? []).filter(
          ({ metadata }) => announce.peers === undefined || announce.peers.includes(metadata.name),
        )
        const vip = service.spec.vip.find(
          each => !peers.some(peer => familiesOf(peer).includes(familyOf(each))),
        )
        if (vip === undefined) continue
        yield {
          at: service.locate(ANNOUNCE),
          message:
            peers.length === 0
              ? `Node ${node.metadata.name} serves ${service.metadata.name} and has no session with a BgpPeer that it would be announced to.`
              : `Node ${node.metadata.name} announces ${vip} to nobody: none of its BgpPeers takes ${familyOf(vip)}.`,
          hint:
            node.spec.bgp === undefined
              ? 'Add spec.bgp to the Node.'
              : peers.length === 0
                ? 'Add a BgpPeer that selects the Node, or more names to announce.peers.'
                : `Add ${familyOf(vip)} to spec.families of a BgpPeer.`,
        }
      }
  },
}

const announceMissing: Rule = {
  id: 'announce-missing',
  severity: 'warning',
  *check(context) {
    const sessions = sessionsIn(context)
    if (sessions.size === 0) return
    for (const service of context.services) {
      const nodes = context.nodesOf(service)
      if (service.spec.announce !== undefined || !nodes.some(node => sessions.has(node))) continue
      yield {
        at: service.at,
        message: `${service.metadata.name} is not announced, and its nodes have BGP sessions.`,
        hint: 'Add announce: true, or announce: false if its VIPs are routed in another way.',
      }
    }
  },
}

const announceSingle: Rule = {
  id: 'announce-single',
  severity: 'warning',
  *check(context) {
    if (context.nodes.filter(({ spec }) => spec.bgp !== undefined).length < 2) return
    for (const { service } of announcedIn(context)) {
      const [only, ...more] = context.nodesOf(service).filter(({ spec }) => spec.bgp !== undefined)
      if (only === undefined || more.length > 0) continue
      yield {
        at: service.locate(ANNOUNCE),
        message: `${service.metadata.name} is announced by Node ${only.metadata.name} alone: its VIPs are gone when that node is.`,
        hint: 'Let spec.nodes select a second node.',
      }
    }
  },
}

const announceConflict: Rule = {
  id: 'announce-conflict',
  severity: 'error',
  *check(context) {
    const first = new Map<string, Announced>()
    for (const announced of announcedIn(context)) {
      const { service, announce } = announced
      for (const vip of service.spec.vip) {
        const prefix = prefixFor(vip, announce)
        for (const node of context.nodesOf(service)) {
          const id = `${node.metadata.name} ${prefix}`
          const other = first.get(id)
          if (other === undefined) first.set(id, announced)
          else if (
            other.service !== service &&
            !isDeepStrictEqual(sharedOf(announce), sharedOf(other.announce))
          ) {
            yield {
              at: service.locate(ANNOUNCE),
              message: `${prefix} is also announced by ${other.service.metadata.name} at ${other.service.at.file}:${other.service.at.line} with other attributes or to other peers, and a route has one set of them.`,
              hint: 'Write the same in both; minHealthyBackends alone may differ.',
            }
            break
          }
        }
      }
    }
  },
}

const sharedOf = ({ minHealthyBackends: _, aggregate: __, ...shared }: AnnounceSettings) => ({
  ...shared,
  communities: shared.communities.toSorted(),
  largeCommunities: shared.largeCommunities.toSorted(),
  peers: shared.peers?.toSorted(),
})

const announceCommunities: Rule = {
  id: 'announce-communities',
  severity: 'warning',
  *check(context) {
    for (const { service, announce } of announcedIn(context)) {
      const index = announce.communities.indexOf(GRACEFUL_SHUTDOWN)
      if (index >= 0)
        yield {
          at: service.locate([...ANNOUNCE, 'communities', index]),
          message: `${GRACEFUL_SHUTDOWN} asks routers to prefer any other route (RFC 8326); Ballast adds it while it takes one away.`,
          hint: 'Remove it. To empty a node write spec.maintenance in its Node.',
        }
    }
  },
}

const announceLocalPreference: Rule = {
  id: 'announce-local-preference',
  severity: 'warning',
  *check(context) {
    const sessions = sessionsIn(context)
    for (const { service, announce } of announcedIn(context)) {
      if (announce.localPreference === undefined) continue
      const internal = context
        .nodesOf(service)
        .some(node => sessions.get(node)?.some(({ spec }) => spec.asn === node.spec.bgp?.asn))
      if (!internal && sessions.size > 0)
        yield {
          at: service.locate([...ANNOUNCE, 'localPreference']),
          message: `The peers of the nodes that serve ${service.metadata.name} are all of other ASes, and do not get a local preference (RFC 4271, 5.1.5).`,
          hint: 'Use med, prepend, or a community that the router maps to a preference.',
        }
    }
  },
}

const announceLimit: Rule = {
  id: 'announce-limit',
  severity: 'error',
  *check(context) {
    const prefixes = prefixesByNode(context, announcedIn(context))
    for (const [node, peers] of sessionsIn(context))
      for (const peer of peers)
        for (const family of familiesOf(peer)) {
          const { name } = peer.metadata
          const count = (prefixes.get(node) ?? []).filter(
            ({ prefix, announce }) => familyOf(prefix) === family && (announce.peers?.includes(name) ?? true),
          ).length
          if (count > peer.spec.exportLimit)
            yield {
              at: peer.locate(['spec', 'exportLimit']),
              message: `Node ${node.metadata.name} would announce ${count} ${family} prefixes to ${name}, whose exportLimit is ${peer.spec.exportLimit}.`,
              hint: 'Raise spec.exportLimit (and what the router takes), or announce aggregates.',
            }
        }
  },
}

/** Each prefix of a node once. */
function prefixesByNode(context: RuleContext, announced: readonly Announced[]) {
  const byNode = new Map<ManifestOf<Node>, Map<string, AnnounceSettings>>()
  for (const { service, announce } of announced)
    for (const node of context.nodesOf(service)) {
      const prefixes = byNode.get(node) ?? new Map<string, AnnounceSettings>()
      byNode.set(node, prefixes)
      for (const vip of service.spec.vip) prefixes.set(prefixFor(vip, announce), announce)
    }
  return new Map(
    Array.from(byNode, ([node, prefixes]) => [
      node,
      Array.from(prefixes, ([prefix, announce]) => ({ prefix, announce })),
    ]),
  )
}

export const announceRules: readonly Rule[] = [
  announcePeer,
  announceNowhere,
  announceMissing,
  announceSingle,
  announceConflict,
  announceCommunities,
  announceLocalPreference,
  announceLimit,
]
