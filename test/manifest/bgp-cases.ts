/** Cases for rules.test.ts: peers, and what is announced to them. */

type Case = readonly [about: string, files: Record<string, string | null>, expected: [string, RegExp][]]

const document = (kind: string, name: string, spec: string) =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n${spec.replace(/^/gm, '  ')}\n`

const node = (name: string, spec: string) =>
  document('Node', name, `interfaces: [{name: eth0}]\nsources: {ipv4: 10.0.1.1/32}\n${spec}`)
const ID1 = 'addresses: [10.0.1.1]'
const ID2 = 'addresses: [10.0.1.2]'
const BGP = 'bgp: {asn: 65001}'
const LB1 = node('lb-1', `${ID1}\n${BGP}`)
const LB2 = node('lb-2', `${ID2}\n${BGP}`)
const peer = (spec = '', name = 'tor') =>
  document('BgpPeer', name, `address: 10.0.1.254\nasn: 64512\n${spec}`)
const service = (spec: string, vip = '203.0.113.10', name = 'web') =>
  document(
    'Service',
    name,
    `vip: ${vip}\nports: [{port: 80, protocol: tcp}]\nbackends: [{address: 10.0.11.1}]\n${spec}`,
  )
const WEB = service('announce: true')
const other = (spec: string) => service(spec, '203.0.113.11', 'api')

/** Two nodes that announce a VIP to a router. */
const SOUND = { 'lb-1.yaml': LB1, 'lb-2.yaml': LB2, 'tor.yaml': peer(), 'web.yaml': WEB }
const withFiles = (files: Record<string, string | null>) => ({ ...SOUND, ...files })

export const BGP_CASES: readonly Case[] = [
  ['a sound announcement passes', withFiles({}), []],
  [
    'BIRD takes no longer names',
    withFiles({
      'tor.yaml': `apiVersion: ballast.dev/v1\nkind: BgpPeer\nmetadata: {name: ¦${'t'.repeat(56)}}\nspec: {address: 10.0.1.254, asn: 64512}\n`,
    }),
    [['bgp-peer-name', /at most 55 characters/]],
  ],
  [
    "reserved AS numbers are nobody's",
    withFiles({
      'tor.yaml': document('BgpPeer', 'tor', 'address: 10.0.1.254\nasn: ¦23456'),
      'lb-2.yaml': node('lb-2', `${ID2}\nbgp: {asn: ¦65535}`),
    }),
    [
      ['bgp-asn-reserved', /AS 65535 is reserved/],
      ['bgp-asn-reserved', /AS 23456 is reserved/],
    ],
  ],
  [
    'a node needs a router id, which no other has',
    withFiles({
      'lb-2.yaml': node('lb-2', '¦bgp: {asn: 65001}'),
      'lb-3.yaml': node('lb-3', '¦bgp: {asn: 65001, routerId: 10.0.1.1}'),
    }),
    [
      ['bgp-router-id', /lb-2 speaks BGP and has no router id/],
      ['bgp-router-id', /lb-3 has the router id 10\.0\.1\.1 of Node lb-1/],
    ],
  ],
  [
    'a peer names nodes that there are, and that speak BGP',
    withFiles({
      'lb-3.yaml': node('lb-3', ''),
      'web.yaml': service('announce: true\nnodes: {names: [lb-1, lb-2]}'),
      'tor.yaml': peer('nodes: {names: [lb-1, lb-2, ¦lb-3, ¦lb-4]}'),
    }),
    [
      ['bgp-peer-nodes', /Node lb-3 has no spec\.bgp/],
      ['bgp-peer-nodes', /There is no Node lb-4/],
    ],
  ],
  [
    'a peer without a node is told',
    withFiles({
      'spine.yaml': peer('nodes: {matchLabels: {zone: eu}}', 'spine').replace('name: spine', 'name: ¦spine'),
    }),
    [['bgp-peer-unused', /No node has a session with spine/]],
  ],
  [
    'one router is one peer of a node',
    withFiles({ 'tor2.yaml': peer('', 'tor2').replace('10.0.1.254', '¦10.0.1.254') }),
    [['bgp-peer-twice', /10\.0\.1\.254 is also the address of BgpPeer tor/]],
  ],
  [
    'a peer is a router, and reached from an address of its family',
    withFiles({
      'tor.yaml': document('BgpPeer', 'tor', 'address: ¦10.0.1.2\nlocalAddress: ¦"fd00::1"\nasn: 64512'),
    }),
    [
      ['bgp-peer-address', /10\.0\.1\.2 is an address of Node lb-2/],
      ['bgp-peer-address', /cannot reach 10\.0\.1\.2/],
    ],
  ],
  [
    'over several hops there is no next hop of the other family',
    withFiles({ 'tor.yaml': peer('multihop: 3\npasswordFile: tor\n¦families: [ipv4, ipv6]') }),
    [['bgp-peer-families', /no next hop for ipv6 routes/]],
  ],
  [
    'BFD over several hops needs an address of the node',
    withFiles({
      'lb-2.yaml': node('lb-2', 'bgp: {asn: 65001, routerId: 10.0.1.2}'),
      'tor.yaml': peer('multihop: 3\npasswordFile: tor\n¦bfd: {}'),
    }),
    [['bgp-local-address', /Node lb-2 has none of ipv4 in spec\.addresses/]],
  ],
  [
    'signs of life come before the peer is dead',
    withFiles({ 'tor.yaml': peer('timers: {hold: 9, keepalive: ¦9}') }),
    [['bgp-timers', /write at most 3/]],
  ],
  [
    'GoBGP has no BFD, and no next hop for routes of the other family',
    withFiles({
      'lb-2.yaml': node('lb-2', `${ID2}\nbgp: {asn: 65001, daemon: gobgp}`),
      'tor.yaml': peer('¦bfd: {}\n¦families: [ipv4, ipv6]'),
    }),
    [
      ['bgp-bfd-daemon', /lb-2 speaks BGP by GoBGP, which has no BFD/],
      ['bgp-families-daemon', /no next hop for ipv6 routes in a session by ipv4/],
    ],
  ],
  [
    'a session over several hops wants a password',
    withFiles({ 'tor.yaml': peer('multihop: ¦3') }),
    [['bgp-password', /without a password/]],
  ],
  [
    'an announcement names peers that there are',
    withFiles({ 'web.yaml': service('announce: {peers: [tor, ¦torr]}') }),
    [['announce-peer', /There is no BgpPeer torr\. Did you mean/]],
  ],
  [
    'an announcement that reaches nobody is told',
    withFiles({
      'web.yaml': service('announce: true\nnodes: {names: [lb-1, lb-2]}'),
      'lb-3.yaml': node('lb-3', ''),
      'api.yaml': other('announce: ¦true'),
      'six.yaml': document(
        'Service',
        'six',
        'vip: "2001:db8::10"\nports: [{port: 80, protocol: tcp}]\nbackends: [{address: fd00::2}]\nannounce: ¦true\nnodes: {names: [lb-1, lb-2]}',
      ),
      'lb-1.yaml': LB1.replace('{ipv4: 10.0.1.1/32}', '{ipv4: 10.0.1.1/32, ipv6: "fd00::1/128"}'),
      'lb-2.yaml': LB2.replace('{ipv4: 10.0.1.1/32}', '{ipv4: 10.0.1.1/32, ipv6: "fd00::1/128"}'),
    }),
    [
      ['announce-nowhere', /Node lb-3 serves api and has no session/],
      ['announce-nowhere', /Node lb-1 announces 2001:db8::10 to nobody: none of its BgpPeers takes ipv6/],
      ['announce-nowhere', /Node lb-2 announces 2001:db8::10 to nobody/],
    ],
  ],
  [
    'a service that nobody announces is told, unless it says so itself',
    withFiles({
      'api.yaml': other('').replace('name: api', 'name: ¦api'),
      'more.yaml': service('announce: false', '203.0.113.12', 'more'),
    }),
    [['announce-missing', /api is not announced/]],
  ],
  [
    'one announcer is no redundancy',
    withFiles({ 'web.yaml': service('announce: ¦true\nnodes: {names: [lb-1]}') }),
    [['announce-single', /Node lb-1 alone/]],
  ],
  [
    'an aggregate is a prefix, holds the VIP, is the one of its family and may be claimed',
    withFiles({
      'fleet.yaml': document(
        'Fleet',
        'demo',
        'fleetKey: {fingerprint: 0123456789abcdef}\nvipPrefixes: [{prefix: 203.0.113.0/24}]',
      ),
      'web.yaml': service('announce: {aggregate: [¦203.0.113.1/28, ¦198.51.100.0/24]}'),
      'api.yaml': other('announce: {aggregate: [203.0.113.0/28, ¦203.0.113.0/27]}'),
      'more.yaml': service('announce: {aggregate: [¦203.0.0.0/16]}', '203.0.113.12', 'more'),
    }),
    [
      ['announce-aggregate', /api has two aggregates of one family/],
      ['announce-aggregate', /203\.0\.0\.0\/16 is not inside a prefix that the Fleet allows/],
      ['announce-aggregate', /bits set behind its first 28\. Write 203\.0\.113\.0\/28/],
      ['announce-aggregate', /198\.51\.100\.0\/24 covers none of the VIPs/],
    ],
  ],
  [
    'an aggregate leads to a node what the node does not serve',
    withFiles({
      'web.yaml': service('announce: {¦aggregate: [203.0.113.0/28]}'),
      'api.yaml': other('announce: false\nnodes: {names: [lb-1]}'),
      'dns.yaml': service('announce: true', '203.0.113.12', 'dns'),
    }),
    [['announce-hole', /Node lb-2 announces 203\.0\.113\.0\/28 and does not serve 203\.0\.113\.11 of api/]],
  ],
  [
    'a route has one set of attributes; how many backends it needs may differ',
    withFiles({
      'api.yaml': service('announce: {med: 5}', '203.0.113.10', 'api').replace('port: 80', 'port: 443'),
      'dns.yaml': service('announce: {med: 5, minHealthyBackends: 2}', '203.0.113.10', 'dns').replace(
        'tcp',
        'udp',
      ),
      'web.yaml': service('announce: ¦true'),
    }),
    [
      [
        'announce-conflict',
        /203\.0\.113\.10\/32 is also announced by api at api\.yaml:\d+ with other attributes/,
      ],
    ],
  ],
  [
    'graceful shutdown is not for good',
    withFiles({ 'web.yaml': service('announce: {communities: ["64512:1", ¦"65535:0"]}') }),
    [['announce-communities', /prefer any other route/]],
  ],
  [
    'a local preference is for peers of the own AS',
    withFiles({ 'web.yaml': service('announce: {localPreference: ¦200}') }),
    [['announce-local-preference', /are all of other ASes/]],
  ],
  [
    'a peer gets no more than it takes',
    withFiles({ 'tor.yaml': peer('exportLimit: ¦1'), 'api.yaml': other('announce: true') }),
    [
      ['announce-limit', /Node lb-1 would announce 2 ipv4 prefixes to tor, whose exportLimit is 1/],
      ['announce-limit', /Node lb-2 would announce 2/],
    ],
  ],
]
