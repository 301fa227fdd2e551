import type { BgpPeer } from '../../../schemas/manifest/bgp-peer.ts'
import type { Node } from '../../../schemas/manifest/node.ts'
import { familiesOf, familyOf, localAddressOf, nodesOfPeer, routerIdOf } from '../announcements.ts'
import type { ManifestOf } from '../manifest.ts'
import { suggest } from '../suggest.ts'
import type { Rule, RuleContext } from './rule.ts'

export const peersIn = ({ tree }: RuleContext): readonly ManifestOf<BgpPeer>[] =>
  tree.manifests.filter((each): each is ManifestOf<BgpPeer> => each.kind === 'BgpPeer')

/** BIRD's names have at most 63 characters, and eight say that it is Ballast's. */
const LONGEST_NAME = 55
/** AS_TRANS (RFC 6793) and the last of two bytes (RFC 7300). */
const RESERVED_ASNS = [23456, 65535]

const bgpPeerName: Rule = {
  id: 'bgp-peer-name',
  severity: 'error',
  *check(context) {
    for (const { metadata, locate } of peersIn(context))
      if (metadata.name.length > LONGEST_NAME)
        yield {
          at: locate(['metadata', 'name']),
          message: `The name of a BgpPeer has at most ${LONGEST_NAME} characters, and ${metadata.name} has ${metadata.name.length}.`,
          hint: 'Shorten it: BIRD takes no longer names.',
        }
  },
}

const bgpAsnReserved: Rule = {
  id: 'bgp-asn-reserved',
  severity: 'error',
  *check(context) {
    const asns = [
      ...peersIn(context).map(peer => ({ asn: peer.spec.asn, at: () => peer.locate(['spec', 'asn']) })),
      ...context.nodes.map(node => ({
        asn: node.spec.bgp?.asn ?? 0,
        at: () => node.locate(['spec', 'bgp', 'asn']),
      })),
    ]
    for (const { asn, at } of asns)
      if (RESERVED_ASNS.includes(asn))
        yield {
          at: at(),
          message: `AS ${asn} is reserved and nobody's.`,
          hint: 'Write your AS, or a private one: 64512 to 65534, or 4200000000 to 4294967294.',
        }
  },
}

const bgpRouterId: Rule = {
  id: 'bgp-router-id',
  severity: 'error',
  *check({ nodes }) {
    const owners = new Map<string, ManifestOf<Node>>()
    for (const node of nodes) {
      if (node.spec.bgp === undefined) continue
      const id = routerIdOf(node)
      const owner = id === null ? undefined : owners.get(id)
      if (id === null)
        yield {
          at: node.locate(['spec', 'bgp']),
          message: `Node ${node.metadata.name} speaks BGP and has no router id: neither spec.bgp.routerId nor an IPv4 address in spec.addresses.`,
          hint: 'Add spec.bgp.routerId: four numbers like an IPv4 address, unique among the routers.',
        }
      else if (owner !== undefined)
        yield {
          at: node.locate(['spec', 'bgp']),
          message: `Node ${node.metadata.name} has the router id ${id} of Node ${owner.metadata.name}: a router takes them for one.`,
          hint: 'Give it another spec.bgp.routerId.',
        }
      else owners.set(id, node)
    }
  },
}

const bgpPeerNodes: Rule = {
  id: 'bgp-peer-nodes',
  severity: 'error',
  *check(context) {
    const { nodes, mayExist } = context
    for (const peer of peersIn(context))
      for (const [index, name] of (peer.spec.nodes.names ?? []).entries()) {
        const node = nodes.find(({ metadata }) => metadata.name === name)
        if (node?.spec.bgp !== undefined || (node === undefined && mayExist('Node', name))) continue
        const known = nodes.flatMap(({ metadata, spec }) => (spec.bgp === undefined ? [] : [metadata.name]))
        yield {
          at: peer.locate(['spec', 'nodes', 'names', index]),
          message:
            node === undefined
              ? `There is no Node ${name}.`
              : `Node ${name} has no spec.bgp: it cannot have a session with ${peer.metadata.name}.`,
          hint:
            node === undefined
              ? suggest(name, known, 'Name one that exists, or select by labels.')
              : 'Add spec.bgp with its asn to the Node, or leave it out here.',
        }
      }
  },
}

const bgpPeerUnused: Rule = {
  id: 'bgp-peer-unused',
  severity: 'warning',
  *check(context) {
    if (context.mayExist('Node', null)) return
    for (const peer of peersIn(context))
      if (nodesOfPeer(peer, context.nodes).length === 0)
        yield {
          at: peer.at,
          message: `No node has a session with ${peer.metadata.name}: none that spec.nodes selects has spec.bgp.`,
          hint: 'Add spec.bgp to the Nodes, or compare spec.nodes with their names and labels.',
        }
  },
}

const bgpPeerTwice: Rule = {
  id: 'bgp-peer-twice',
  severity: 'error',
  *check(context) {
    const first = new Map<string, ManifestOf<BgpPeer>>()
    for (const peer of peersIn(context)) {
      const { address, port } = peer.spec
      const clash = nodesOfPeer(peer, context.nodes)
        .map(({ metadata }) => `${metadata.name} ${address} ${port}`)
        .map(id => {
          const other = first.get(id)
          first.set(id, other ?? peer)
          return other
        })
        .find(other => other !== undefined)
      if (clash !== undefined)
        yield {
          at: peer.locate(['spec', 'address']),
          message: `${address} is also the address of BgpPeer ${clash.metadata.name}, on a node that both select.`,
          hint: 'Keep one of the two.',
        }
    }
  },
}

const bgpPeerAddress: Rule = {
  id: 'bgp-peer-address',
  severity: 'error',
  *check(context) {
    const own = new Map<string, string>(
      context.nodes.flatMap(({ spec, metadata }) =>
        spec.addresses.map(address => [address, `Node ${metadata.name}`] as const),
      ),
    )
    for (const { spec, metadata } of context.services)
      for (const vip of spec.vip) own.set(vip, `Service ${metadata.name}`)
    for (const peer of peersIn(context)) {
      const owner = own.get(peer.spec.address)
      if (owner !== undefined)
        yield {
          at: peer.locate(['spec', 'address']),
          message: `${peer.spec.address} is an address of ${owner} and not of a router.`,
          hint: 'Write the address of the router.',
        }
      if (
        peer.spec.localAddress !== undefined &&
        familyOf(peer.spec.localAddress) !== familyOf(peer.spec.address)
      )
        yield {
          at: peer.locate(['spec', 'localAddress']),
          message: `A session from ${peer.spec.localAddress} cannot reach ${peer.spec.address}: they are of different families.`,
          hint: 'Write a local address of the family of spec.address, or leave it out.',
        }
    }
  },
}

const bgpPeerFamilies: Rule = {
  id: 'bgp-peer-families',
  severity: 'error',
  *check(context) {
    for (const peer of peersIn(context)) {
      const own = familyOf(peer.spec.address)
      const other = familiesOf(peer).find(family => family !== own)
      if (other !== undefined && peer.spec.multihop !== undefined)
        yield {
          at: peer.locate(['spec', 'families']),
          message: `${peer.metadata.name} is several hops away at an ${own} address: there is no next hop for ${other} routes on the way to it.`,
          hint: `Make a second BgpPeer with an ${other} address of the router.`,
        }
    }
  },
}

const bgpLocalAddress: Rule = {
  id: 'bgp-local-address',
  severity: 'error',
  *check(context) {
    for (const peer of peersIn(context)) {
      const node = nodesOfPeer(peer, context.nodes).find(each => localAddressOf(peer, each) === null)
      if (node !== undefined)
        yield {
          at: peer.locate(['spec', 'bfd']),
          message: `BFD over several hops needs the address of the node, and Node ${node.metadata.name} has none of ${familyOf(peer.spec.address)} in spec.addresses.`,
          hint: 'Add it there, or leave bfd out.',
        }
    }
  },
}

const bgpTimers: Rule = {
  id: 'bgp-timers',
  severity: 'error',
  *check(context) {
    for (const { spec, metadata, locate } of peersIn(context)) {
      const { hold, keepalive } = spec.timers
      if (keepalive !== undefined && keepalive >= hold)
        yield {
          at: locate(['spec', 'timers', 'keepalive']),
          message: `${metadata.name} would be dead after ${hold} s without a sign of life, and gets one every ${keepalive} s.`,
          hint: `Leave keepalive out, or write at most ${Math.max(1, Math.floor(hold / 3))}.`,
        }
    }
  },
}

const bgpBfdDaemon: Rule = {
  id: 'bgp-bfd-daemon',
  severity: 'error',
  *check(context) {
    for (const peer of peersIn(context)) {
      if (peer.spec.bfd === undefined) continue
      const node = nodesOfPeer(peer, context.nodes).find(({ spec }) => spec.bgp?.daemon === 'gobgp')
      if (node !== undefined)
        yield {
          at: peer.locate(['spec', 'bfd']),
          message: `Node ${node.metadata.name} speaks BGP by GoBGP, which has no BFD.`,
          hint: 'Use bird on it, or leave bfd out: the hold time then finds a dead node.',
        }
    }
  },
}

const bgpFamiliesDaemon: Rule = {
  id: 'bgp-families-daemon',
  severity: 'error',
  *check(context) {
    for (const peer of peersIn(context)) {
      const own = familyOf(peer.spec.address)
      const other = familiesOf(peer).find(family => family !== own)
      if (other === undefined) continue
      const node = nodesOfPeer(peer, context.nodes).find(({ spec }) => spec.bgp?.daemon === 'gobgp')
      if (node !== undefined)
        yield {
          at: peer.locate(['spec', 'families']),
          message: `Node ${node.metadata.name} speaks BGP by GoBGP, which has no next hop for ${other} routes in a session by ${own}.`,
          hint: `Make a second BgpPeer with an ${other} address of the router.`,
        }
    }
  },
}

const bgpPassword: Rule = {
  id: 'bgp-password',
  severity: 'warning',
  *check(context) {
    for (const peer of peersIn(context))
      if (peer.spec.multihop !== undefined && peer.spec.passwordFile === undefined)
        yield {
          at: peer.locate(['spec', 'multihop']),
          message: `The session with ${peer.metadata.name} goes over several hops without a password: whoever is on the way can end it.`,
          hint: 'Add spec.passwordFile, and the file to every node.',
        }
  },
}

export const bgpPeerRules: readonly Rule[] = [
  bgpPeerName,
  bgpAsnReserved,
  bgpRouterId,
  bgpPeerNodes,
  bgpPeerUnused,
  bgpPeerTwice,
  bgpPeerAddress,
  bgpPeerFamilies,
  bgpLocalAddress,
  bgpTimers,
  bgpBfdDaemon,
  bgpFamiliesDaemon,
  bgpPassword,
]
