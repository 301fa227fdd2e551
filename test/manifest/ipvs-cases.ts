/** Cases for rules.test.ts: what IPVS can do, and what it needs of its nodes. */

const document = (kind: string, name: string, spec: string) =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n${spec.replace(/^/gm, '  ')}\n`

const service = (spec: string, name = 'web') => document('Service', name, spec)
const node = (name: string, spec: string) => document('Node', name, spec)

const PORTS = 'ports: [{port: 80, protocol: tcp}]'
const V4 = 'vip: 203.0.113.10'
const BACKENDS = 'backends: [{address: 10.0.11.1}]'
const IPVS = `${V4}\n${PORTS}\n${BACKENDS}\ndataplane: ipvs`
const BOTH = 'mixedRings: true'
const XDP_NODE = 'interfaces: [{name: eth0}]\nsources: {ipv4: 10.0.1.1/32, ipv6: "fd00::1/128"}'

type Case = readonly [about: string, files: Record<string, string | null>, expected: [string, RegExp][]]

export const IPVS_CASES: readonly Case[] = [
  [
    'IPVS does what XDP does not, on nodes without interfaces',
    {
      'lb-1.yaml': node('lb-1', 'ipvs: {sysctls: {net.ipv4.ip_forward: 1}}'),
      'lb-2.yaml': null,
      'web.yaml': service(
        `${V4}\nports: [{port: 80, protocol: tcp}, {port: 80, protocol: sctp}]\ndataplane: ipvs\nforwarding: nat\nscheduler: wlc\nbackends: [{address: 10.0.11.1, port: 8080, thresholds: {upper: 100}}]\nipvs: {persistence: {timeout: 60}}`,
      ),
      'fwmark.yaml': service(
        `vip: "2001:db8::10"\ndataplane: ipvs\nforwarding: gre\n${BACKENDS}\nipvs: {fwmark: 7}`,
        'fwmark',
      ),
    },
    [],
  ],
  [
    'XDP does not forward by nat, and has neither SCTP nor schedulers nor thresholds',
    {
      'web.yaml': service(
        `${V4}\nports: [{port: 80, protocol: ¦sctp}]\nforwarding: ¦nat\nscheduler: ¦rr\n¦ipvs: {onePacket: true}\nbackends: [{address: 10.0.11.1, ¦thresholds: {upper: 5}}]`,
      ),
    },
    [
      ['dataplane-feature', /Service web forwards by nat, which xdp cannot do\. Set dataplane: ipvs, or one/],
      ['dataplane-feature', /serves sctp/],
      ['dataplane-feature', /has the scheduler rr/],
      ['dataplane-feature', /has settings of ipvs/],
      ['dataplane-feature', /has a backend with thresholds \(10\.0\.11\.1\)/],
    ],
  ],
  [
    'what XDP can do is not all that IPVS can, and the other way round',
    {
      'web.yaml': service(`${IPVS}\nhashBy: ¦source\nforwarding: gue\ngue: {variant: ¦1}`),
      'xdp.yaml': service(
        `vip: 203.0.113.11\n${PORTS}\n${BACKENDS}\nforwarding: gue\ngue: {checksum: ¦remote}`,
        'xdp',
      ),
    },
    [
      ['dataplane-feature', /chooses backends by source, which ipvs cannot do/],
      ['dataplane-feature', /The kernel sends variant 0/],
      ['dataplane-feature', /leaves checksums to the receiver, which xdp cannot do/],
    ],
  ],
  [
    'a service has ports or a mark',
    {
      'web.yaml': service(`${V4}\n${BACKENDS}`).replace('spec:', '¦spec:'),
      'mark.yaml': service(
        `vip: 203.0.113.11\n¦ports: [{port: 80, protocol: tcp}]\n${BACKENDS}\ndataplane: ipvs\nipvs: {fwmark: 7}`,
        'mark',
      ),
    },
    [
      ['ports-or-mark', /Service web has no ports/],
      ['ports-or-mark', /Service mark takes what is marked 7, and lists ports/],
    ],
  ],
  [
    'XDP and IPVS do not share a VIP on a node that drops what XDP has no service for',
    {
      'other.yaml': service(
        `vip: ¦203.0.113.10\nports: [{port: 81, protocol: tcp}]\n${BACKENDS}\ndataplane: ipvs`,
        'other',
      ),
    },
    [['vip-one-dataplane', /served by xdp for Service web on Node lb-1, which drops/]],
  ],
  [
    'they do where it passes',
    {
      'lb-1.yaml': node('lb-1', `${XDP_NODE}\nunmatched: pass`),
      'lb-2.yaml': null,
      'other.yaml': service(
        `${V4}\nports: [{port: 81, protocol: tcp}]\n${BACKENDS}\ndataplane: ipvs`,
        'other',
      ),
    },
    [],
  ],
  [
    'XDP on one node and IPVS on another choose differently',
    {
      'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-1]}`),
      'other.yaml': service(`${IPVS.replace('ipvs', '¦ipvs')}\nnodes: {names: [lb-2]}`, 'other'),
    },
    [['rings-differ', /203\.0\.113\.10 port 80\/tcp is served by ipvs here and by xdp for Service web/]],
  ],
  [
    'unless both manifests say that this is meant',
    {
      'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-1]}\n${BOTH}`),
      'other.yaml': service(`${IPVS}\nnodes: {names: [lb-2]}\n${BOTH}`, 'other'),
    },
    [],
  ],
  [
    'what GRE looks like is said where GRE is used',
    { 'web.yaml': service(`${IPVS}\n¦gre: {checksum: full}`) },
    [['gre-unused', /forwards by ipip\. Set forwarding: gre/]],
  ],
  [
    'a mark is one service on a node',
    {
      'web.yaml': service(`${V4}\n${BACKENDS}\ndataplane: ipvs\nipvs: {fwmark: 7}`),
      'six.yaml': service(
        'vip: "2001:db8::10"\nbackends: [{address: fd00::2}]\ndataplane: ipvs\nipvs: {fwmark: 7}',
        'six',
      ),
      'zwei.yaml': service(`vip: 203.0.113.11\n${BACKENDS}\ndataplane: ipvs\nipvs: {fwmark: ¦7}`, 'zwei'),
    },
    [['fwmark-unique', /The firewall mark 7 is also that of Service web on the same node/]],
  ],
  [
    'flags are for the schedulers that have some',
    { 'web.yaml': service(`${IPVS}\nscheduler: dh\nipvs: {¦schedulerFlags: {port: true}}`) },
    [['scheduler-flags-unused', /flags for the scheduler dh, which knows none/]],
  ],
  [
    'packets are scheduled by themselves for UDP alone',
    { 'web.yaml': service(`${IPVS}\nipvs: {onePacket: ¦true}`) },
    [['one-packet-udp', /not all of its ports are UDP/]],
  ],
  [
    'a backend gets connections again below what it takes',
    {
      'web.yaml': service(
        `${V4}\n${PORTS}\ndataplane: ipvs\nbackends: [{address: 10.0.11.1, thresholds: {upper: 5, lower: ¦6}}]`,
      ),
    },
    [['thresholds-order', /The backend 10\.0\.11\.1 of Service web would get connections again below 6/]],
  ],
  [
    'a scheduler that goes by what a node has seen is told of, where there are several nodes',
    {
      'web.yaml': service(`${IPVS}\nscheduler: ¦wlc`),
      'one.yaml': service(
        `vip: 203.0.113.11\n${PORTS}\n${BACKENDS}\ndataplane: ipvs\nscheduler: rr\nnodes: {names: [lb-1]}`,
        'one',
      ),
    },
    [['scheduler-local', /The scheduler wlc of Service web chooses by what each of its 2 nodes has seen/]],
  ],
  [
    'nat needs a node that lets answers through',
    {
      'lb-1.yaml': node('lb-1', `¦ipvs: {interface: vips}`),
      'lb-2.yaml': null,
      'web.yaml': service(`${IPVS}\nforwarding: nat`),
    },
    [['nat-forwarding', /nothing says that Node lb-1 lets answers through\. Add net\.ipv4\.ip_forward: 1/]],
  ],
  [
    'a node has one sync daemon of a role',
    {
      'lb-1.yaml': node(
        'lb-1',
        `${XDP_NODE}\nipvs: {sync: [{role: master, interface: eth0}, {role: ¦master, interface: eth1}]}`,
      ),
    },
    [['sync-roles', /two sync daemons of the role master/]],
  ],
  [
    'a sync daemon cannot tell of backends of another family',
    {
      'lb-1.yaml': node('lb-1', 'ipvs: {sync: [{role: backup, interface: eth0}]}'),
      'lb-2.yaml': null,
      'web.yaml': service(`vip: ¦203.0.113.10\n${PORTS}\ndataplane: ipvs\nbackends: [{address: "fd00::2"}]`),
    },
    [['sync-families', /backends of another family than its VIP, and the sync daemon of Node lb-1/]],
  ],
  [
    'nat does not change the family',
    {
      'lb-1.yaml': node('lb-1', 'ipvs: {sysctls: {net.ipv4.ip_forward: "1"}}'),
      'lb-2.yaml': null,
      'web.yaml': service(
        `vip: ¦203.0.113.10\n${PORTS}\ndataplane: ipvs\nforwarding: nat\nbackends: [{address: "fd00::2"}]`,
      ),
    },
    [['families-mix', /ipvs does not carry IPv4 over IPv6 by nat/]],
  ],
  [
    'XDP needs interfaces',
    { 'lb-1.yaml': node('lb-1', 'sources: {ipv4: 10.0.1.1/32}').replace('spec:', '¦spec:') },
    [['interfaces-missing', /Node lb-1 has no interfaces for xdp, by which it serves web/]],
  ],
]
