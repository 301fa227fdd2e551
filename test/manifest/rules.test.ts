import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkRules } from '../../reconciler/manifest/check-rules.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { RULES } from '../../reconciler/manifest/rules/rules.ts'
import { BGP_CASES } from './bgp-cases.ts'
import { IPVS_CASES } from './ipvs-cases.ts'
import { diagnose, placesAndRules, readMarks } from './marked-files.ts'

const document = (kind: string, name: string, spec: string) =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n${spec.replace(/^/gm, '  ')}\n`

const fleet = (spec = '') => document('Fleet', 'demo', `fleetKey: {fingerprint: 0123456789abcdef}\n${spec}`)
const node = (name: string, spec = '') =>
  document(
    'Node',
    name,
    `interfaces: [{name: eth0}]\nsources: {ipv4: 10.0.1.1/32, ipv6: "fd00::1/128"}\n${spec}`,
  )
const pool = (backends: string, name = 'web') => document('BackendPool', name, `backends: ${backends}`)
const service = (spec: string, name = 'web') => document('Service', name, spec)

const PORTS = 'ports: [{port: 80, protocol: tcp}]'
const V4 = 'vip: 203.0.113.10'
const V6 = 'vip: "2001:db8::10"'
const BACKENDS = 'backends: [{address: 10.0.11.1}]'
const many = (count: number) =>
  `[${Array.from({ length: count }, (_, i) => `{address: 10.1.${i >> 8}.${i & 255}}`).join(', ')}]`

/** A fleet with nothing wrong. Every case replaces some of it, and marks with `¦` what is pointed at. */
const SOUND: Readonly<Record<string, string>> = {
  'fleet.yaml': fleet(),
  'lb-1.yaml': node('lb-1'),
  'lb-2.yaml': node('lb-2'),
  'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}`),
}

type Expected = readonly (readonly [rule: string, says: RegExp])[]

const CASES: readonly (readonly [about: string, files: Record<string, string | null>, expected: Expected])[] =
  [
    ['a sound fleet passes', {}, []],

    [
      'what GUE looks like is said where GUE is used',
      {
        'a.yaml': service(
          `vip: 203.0.113.11\n${PORTS}\n${BACKENDS}\nforwarding: gue\ngue: {variant: 0}`,
          'a',
        ),
        'b.yaml': service(`vip: 203.0.113.12\n${PORTS}\n${BACKENDS}\n¦gue: {port: 6081}`, 'b'),
      },
      [['gue-unused', /Service b says what GUE looks like, and forwards by ipip\. Set forwarding: gue/]],
    ],

    [
      'L2 needs no source prefix, and takes IPv6 VIPs with IPv4 backends',
      {
        'lb-2.yaml': document('Node', 'lb-2', 'interfaces: [{name: eth0}]'),
        'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-1]}`),
        'a.yaml': service(`${V6}\n${PORTS}\n${BACKENDS}\nforwarding: l2\nnodes: {names: [lb-2]}`, 'a'),
      },
      [],
    ],

    [
      'a port wins over a range and a range over all ports: none of them is in the way of another',
      {
        'a.yaml': service(`${V4}\nports: [{port: 80, endPort: 90, protocol: tcp}]\n${BACKENDS}`, 'a'),
        'b.yaml': service(`${V4}\nports: [{port: all, protocol: tcp}]\n${BACKENDS}`, 'b'),
        'c.yaml': service(`${V4}\nports: [{port: 80, endPort: 90, protocol: udp}]\n${BACKENDS}`, 'c'),
        'd.yaml': service(`${V4}\nports: [{port: 91, endPort: 99, protocol: tcp}]\n${BACKENDS}`, 'd'),
      },
      [],
    ],
    [
      'two ranges of one VIP and protocol cannot have ports in common on one node',
      {
        'web.yaml': service(`${V4}\nports: [{port: 80, endPort: 90, protocol: tcp}]\n${BACKENDS}`),
        'web2.yaml': service(`${V4}\nports: [¦{port: 90, endPort: 99, protocol: tcp}]\n${BACKENDS}`, 'web2'),
        'web3.yaml': service(
          `vip: 203.0.113.11\nports: [{port: 1, endPort: 3, protocol: udp}, ¦{port: 2, endPort: 4, protocol: udp}]\n${BACKENDS}`,
          'web3',
        ),
      },
      [
        [
          'port-overlap',
          /90-99\/tcp and 80-90\/tcp of Service web at web\.yaml:6 have ports in common\. Make the ranges/,
        ],
        ['port-overlap', /2-4\/udp and 1-3\/udp of Service web3/],
      ],
    ],
    [
      'ranges may have ports in common on different nodes',
      {
        'web.yaml': service(
          `${V4}\nports: [{port: 80, endPort: 90, protocol: tcp}]\n${BACKENDS}\nnodes: {names: [lb-1]}`,
        ),
        'web2.yaml': service(
          `${V4}\nports: [{port: 90, endPort: 99, protocol: tcp}]\n${BACKENDS}\nnodes: {names: [lb-2]}`,
          'web2',
        ),
      },
      [],
    ],
    [
      'two services cannot have one range, or all ports',
      {
        'web.yaml': service(`${V4}\nports: [{port: all, protocol: tcp}]\n${BACKENDS}`),
        'web2.yaml': service(`${V4}\nports: [{port: ¦all, protocol: tcp}]\n${BACKENDS}`, 'web2'),
      },
      [['vip-unique', /203\.0\.113\.10:1-65535\/tcp is also claimed by web/]],
    ],
    [
      'a range ends after it begins',
      { 'web.yaml': service(`${V4}\nports: [{port: 90, endPort: ¦80, protocol: tcp}]\n${BACKENDS}`) },
      [['port-range', /ends with 80 before it begins with 90\. Write the lowest/]],
    ],
    [
      'a VIP has 16 ranges of a protocol at most',
      {
        'web.yaml': service(
          `${V4}\nports:\n${Array.from(
            { length: 17 },
            (_, i) =>
              `  - ${i === 16 ? '¦' : ''}{port: ${i * 10 + 1}, endPort: ${i * 10 + 9}, protocol: udp}\n`,
          ).join('')}${BACKENDS}`,
        ),
      },
      [['port-ranges-many', /can have 16 ranges of udp ports on a node, and this is one more/]],
    ],
    [
      'a backend may repeat any port of a range',
      {
        'web.yaml': service(
          `${V4}\nports: [{port: 80, endPort: 90, protocol: tcp}]\nbackends: [{address: 10.0.11.1, port: 85}, {address: 10.0.11.2, port: ¦91}]`,
        ),
      },
      [['backend-port', /wants port 91, and ipip keeps port 80/]],
    ],
    [
      'ranges, access lists, limits and connection ids are of xdp alone',
      {
        'lb-1.yaml': node('lb-1'),
        'web.yaml': service(
          `${V4}\nports: [¦{port: 80, endPort: 90, protocol: udp}]\nbackends: [{address: 10.0.11.1, quicServerId: "01"}]\ndataplane: ipvs\n¦access: {deny: [10.0.0.0/8]}\n¦flowLimit: {perSecond: 9}\n¦quic: {}`,
        ),
      },
      [
        ['dataplane-feature', /has a range of ports/],
        ['dataplane-feature', /has an access list/],
        ['dataplane-feature', /limits new flows/],
        ['dataplane-feature', /routes by QUIC connection ids/],
      ],
    ],
    [
      'a prefix stands once in an access list, without host bits',
      {
        'web.yaml': service(
          `${V4}\n${PORTS}\n${BACKENDS}\naccess:\n  allow: [10.0.0.0/8, ¦10.0.0.0/8, ¦10.1.0.1/16]\n  deny: [¦10.0.0.0/8, 10.2.0.0/16]`,
        ),
      },
      [
        ['access-prefix-unique', /10\.0\.0\.0\/8 is listed twice under allow/],
        ['prefix-host-bits', /10\.1\.0\.1\/16 has bits set/],
        ['access-prefix-unique', /10\.0\.0\.0\/8 is listed under allow and under deny/],
      ],
    ],
    [
      'a VIP that no allowed source can reach is a warning',
      {
        'web.yaml': service(
          `vip: [203.0.113.10, ¦"2001:db8::10"]\n${PORTS}\nbackends: [{address: "fd00::2"}]\naccess: {allow: [10.0.0.0/8]}`,
        ),
        'web2.yaml': service(
          `vip: "2001:db8::11"\n${PORTS}\nbackends: [{address: "fd00::2"}]\naccess: {deny: [10.0.0.0/8]}`,
          'web2',
        ),
      },
      [['access-family', /No source can reach 2001:db8::10: none of the allowed prefixes is IPv6/]],
    ],
    [
      'connection ids need UDP, and a server id of every backend',
      {
        'a.yaml': service(
          `${V4}\nports: [{port: 1, protocol: tcp}]\nbackends: [{address: 10.0.11.1, quicServerId: "01"}]\n¦quic: {}`,
          'a',
        ),
        'b.yaml': service(
          `${V4}\nports: [{port: 1, protocol: udp}]\nbackends: [{address: 10.0.11.1, quicServerId: "01"}, {address: 10.0.11.2}]\n¦quic: {configId: 6}`,
          'b',
        ),
      },
      [
        ['quic-udp', /Service a has quic and no UDP port/],
        ['quic-server-id-missing', /Service b has quic, and its backend 10\.0\.11\.2 no quicServerId/],
      ],
    ],
    [
      'server ids are unique in a pool, and of one length',
      {
        'pool.yaml': pool(
          '[{address: 10.0.11.1, quicServerId: "0a"}, {address: 10.0.11.2, quicServerId: ¦"0A"}, {address: 10.0.11.3, quicServerId: ¦"0b0c"}]',
          'quic',
        ),
      },
      [
        ['quic-server-id-unique', /10\.0\.11\.1 and 10\.0\.11\.2 have the quicServerId 0a/],
        ['quic-server-id-length', /of 10\.0\.11\.3 has 2 bytes, that of 10\.0\.11\.1 1/],
      ],
    ],
    [
      'two services cannot have one VIP, port and protocol on one node',
      {
        'web2.yaml': service(
          `${V4}\nports: [{port: 443, protocol: tcp}, {port: ¦80, protocol: tcp}]\n${BACKENDS}`,
          'web2',
        ),
      },
      [['vip-unique', /203\.0\.113\.10:80\/tcp is also claimed by web at web\.yaml:6\. Give one of them/]],
    ],
    [
      'one address written in two ways is one address',
      {
        'a.yaml': service(`vip: "2001:db8:0::0010"\n${PORTS}\nbackends: [{address: fd00::2}]`, 'a'),
        'b.yaml': service(`${V6}\nports: [{port: ¦80, protocol: tcp}]\nbackends: [{address: fd00::2}]`, 'b'),
      },
      [['vip-unique', /\[2001:db8::10\]:80\/tcp is also claimed by a at a\.yaml:6/]],
    ],
    [
      'two services may share a VIP by protocol, and a VIP and port by node',
      {
        'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-1]}`),
        'web2.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-2]}`, 'web2'),
        'dns.yaml': service(`${V4}\nports: [{port: 80, protocol: udp}]\n${BACKENDS}`, 'dns'),
      },
      [],
    ],
    [
      'one node in common is enough for two services to meet',
      {
        'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-1, lb-2]}`),
        'web2.yaml': service(
          `${V4}\nports: [{port: ¦80, protocol: tcp}]\n${BACKENDS}\nnodes: {names: [lb-2]}`,
          'web2',
        ),
      },
      [['vip-unique', /claimed by web at/]],
    ],
    [
      'a service cannot list a port twice',
      {
        'web.yaml': service(
          `${V4}\nports: [{port: 80, protocol: tcp}, {port: ¦80, protocol: tcp}]\n${BACKENDS}`,
        ),
      },
      [['port-unique', /web lists 80\/tcp twice/]],
    ],
    [
      'two VIPs of one family need two services',
      { 'web.yaml': service(`vip: [203.0.113.10, ¦203.0.113.11]\n${PORTS}\n${BACKENDS}`) },
      [['vip-families', /203\.0\.113\.10 and 203\.0\.113\.11 are of the same family/]],
    ],
    [
      'a VIP cannot be an address of a node',
      {
        'lb-2.yaml': node('lb-2', 'addresses: [10.0.1.2]'),
        'web.yaml': service(`vip: ¦10.0.1.2\n${PORTS}\n${BACKENDS}`),
      },
      [['vip-is-node-address', /10\.0\.1\.2 is an address of Node lb-2 itself/]],
    ],
    [
      'a VIP outside the allowed prefixes is refused',
      {
        'fleet.yaml': fleet('vipPrefixes: [{prefix: 198.51.100.0/24}, {prefix: "2001:db8::/64"}]'),
        'web.yaml': service(`vip: ¦203.0.113.10\n${PORTS}\n${BACKENDS}`),
      },
      [['vip-allowed', /in none of the prefixes.*198\.51\.100\.0\/24, 2001:db8::\/64/]],
    ],
    [
      'the longest prefix decides who may claim a VIP, and folders count from the root',
      {
        'fleet.yaml': fleet(
          'vipPrefixes: [{prefix: 203.0.113.0/24}, {prefix: 203.0.113.128/25, paths: [teams/dns/]}]',
        ),
        'teams/dns/a.yaml': service(`vip: 203.0.113.129\n${PORTS}\n${BACKENDS}`, 'a'),
        'teams/web/b.yaml': service(`vip: ¦203.0.113.130\n${PORTS}\n${BACKENDS}`, 'b'),
        'teams/web/teams/dns/c.yaml': service(`vip: ¦203.0.113.131\n${PORTS}\n${BACKENDS}`, 'c'),
      },
      [
        [
          'vip-allowed',
          /203\.0\.113\.130 is in 203\.0\.113\.128\/25, which the Fleet keeps.*move the manifest to teams\/dns\//,
        ],
        ['vip-allowed', /203\.0\.113\.131 is in/],
      ],
    ],

    [
      'a pool must exist, and the one that was meant is named',
      { 'web.yaml': service(`${V4}\n${PORTS}\npool: ¦webb`), 'pool.yaml': pool('[{address: 10.0.11.1}]') },
      [['pool-exists', /There is no BackendPool webb\. Did you mean "web"\?/]],
    ],
    [
      'a pool whose document cannot be read is not called missing',
      { 'web.yaml': service(`${V4}\n${PORTS}\npool: web`), 'pool.yaml': pool('[{address: ¦nowhere}]') },
      [['field-value', /address is no IPv4 or IPv6 address/]],
    ],
    [
      'a service has backends or a pool, not both and not neither',
      {
        'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\npool: ¦web`),
        'web2.yaml': service(`vip: 203.0.113.11\n${PORTS}`, 'web2').replace('spec', '¦spec'),
        'pool.yaml': pool('[{address: 10.0.11.1}]'),
      },
      [
        ['backends-one-source', /web has backends of its own and names the pool web/],
        ['backends-one-source', /web2 has no backends/],
      ],
    ],
    [
      'a node that is named must exist',
      { 'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\nnodes: {names: [lb-1, ¦lb-22]}`) },
      [['node-exists', /There is no Node lb-22\. Did you mean "lb-2"\?/]],
    ],
    [
      'a selector that no node meets is a warning',
      { 'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\n¦nodes: {matchLabels: {zone: eu}}`) },
      [['selector-empty', /No node serves web/]],
    ],
    [
      'a backend is listed once',
      {
        'web.yaml': service(
          `${V6}\n${PORTS}\nbackends: [{address: "fd00::2"}, {address: ¦"fd00:0::2", weight: 50}]`,
        ),
      },
      [['backend-unique', /fd00::2 of Service web is listed twice/]],
    ],
    [
      'direct server return keeps the port, so a backend cannot have another',
      {
        'web.yaml': service(
          `${V4}\n${PORTS}\nbackends: [{address: 10.0.11.1, port: 80}, {address: 10.0.12.1, port: ¦8080}]`,
        ),
        'api.yaml': service('vip: 203.0.113.11\nports: [{port: 443, protocol: tcp}]\npool: ¦api', 'api'),
        'pool.yaml': pool('[{address: 10.0.11.1, port: 8443}]', 'api'),
      },
      [
        [
          'backend-port',
          /10\.0\.12\.1 of Service web wants port 8080, and ipip keeps port 80 of Service web/,
        ],
        [
          'backend-port',
          /10\.0\.11\.1 of BackendPool api wants port 8443, and ipip keeps port 443 of Service api/,
        ],
      ],
    ],
    [
      'weights cannot all be zero',
      {
        'web.yaml': service(
          `${V4}\n${PORTS}\n¦backends: [{address: 10.0.11.1, weight: 0}, {address: 10.0.12.1, weight: 0, drain: true}]`,
        ),
      },
      [['weights-all-zero', /Every backend of Service web has the weight 0/]],
    ],
    [
      'backends that are all drained are a warning',
      {
        'web.yaml': service(
          `${V4}\n${PORTS}\n¦backends: [{address: 10.0.11.1, drain: true}, {address: 10.0.12.1, weight: 0}]`,
        ),
      },
      [['all-drained', /Every backend of Service web is drained/]],
    ],
    [
      'a ring holds 1024 backends',
      {
        'web.yaml': service(`${V4}\n${PORTS}\npool: web`),
        'pool.yaml': pool(many(1025).replace('{address: 10.1.4.0}', '¦{address: 10.1.4.0}')),
      },
      [['ring-capacity', /BackendPool web has 1025 backends, and a ring holds 1024/]],
    ],
    ['1024 backends fit', { 'web.yaml': service(`${V4}\n${PORTS}\nbackends: ${many(1024)}`) }, []],
    [
      'an IPv6 VIP cannot have an IPv4 backend',
      {
        'web.yaml': service(
          `vip: [203.0.113.10, ¦"2001:db8::10"]\n${PORTS}\nbackends: [{address: fd00::2}, {address: 10.0.11.1}]`,
        ),
      },
      [['families-mix', /2001:db8::10 is IPv6 and the backend 10\.0\.11\.1 of Service web is IPv4/]],
    ],
    [
      'an IPv4 VIP can have IPv6 backends',
      { 'web.yaml': service(`${V4}\n${PORTS}\nbackends: [{address: fd00::2}]`) },
      [],
    ],
    [
      'a backend cannot be a VIP',
      { 'web.yaml': service(`${V4}\n${PORTS}\nbackends: [{address: ¦203.0.113.10}]`) },
      [['backend-is-vip', /203\.0\.113\.10 is the VIP of Service web/]],
    ],

    [
      'an interface is listed once',
      {
        'lb-1.yaml': document(
          'Node',
          'lb-1',
          'interfaces: [{name: eth0}, {name: ¦eth0}]\nsources: {ipv4: 10.0.1.1/32}',
        ),
      },
      [['interface-unique', /lb-1 lists the interface eth0 twice/]],
    ],
    [
      'what a node serves must fit its maps',
      {
        'lb-1.yaml': node('lb-1', 'capacity: {services: ¦1, members: ¦3}'),
        'web.yaml': service(
          `${V4}\nports: [{port: 80, protocol: tcp}, {port: 443, protocol: tcp}]\nbackends: [{address: 10.0.11.1}, {address: 10.0.12.1}]`,
        ),
      },
      [
        ['node-capacity', /lb-1 would serve 2 services .* hold 1\. Raise spec\.capacity\.services/],
        ['node-capacity', /lb-1 would serve 4 backends .* hold 3\. Raise spec\.capacity\.members/],
      ],
    ],
    [
      'a node needs a source prefix for every family of its backends',
      {
        'lb-1.yaml': document('Node', 'lb-1', 'interfaces: [{name: eth0}]\n¦sources: {ipv6: "fd00::1/128"}'),
        'lb-2.yaml': document('Node', 'lb-2', 'interfaces: [{name: eth0}]').replace('spec', '¦spec'),
        'web2.yaml': service(
          `vip: 203.0.113.11\n${PORTS}\nbackends: [{address: 10.0.12.1}, {address: fd00::2}]`,
          'web2',
        ),
      },
      [
        ['source-missing', /lb-1 has no IPv4 source prefix, and Service web has IPv4 backends/],
        ['source-missing', /lb-2 has no IPv4 source prefix/],
        ['source-missing', /lb-2 has no IPv6 source prefix, and Service web2 has IPv6 backends/],
      ],
    ],

    [
      'addresses that are not one machine are refused',
      {
        'lb-1.yaml': document(
          'Node',
          'lb-1',
          'interfaces: [{name: eth0}]\nsources: {ipv4: ¦224.0.0.0/3, ipv6: ¦"::/0"}',
        ),
        'web.yaml': service(
          `vip: [¦127.0.0.1, ¦"ff02::1"]\n${PORTS}\nbackends: [{address: ¦fe80::1}, {address: ¦"::"}, {address: "ff::1"}]`,
        ),
      },
      [
        ['address-usable', /source prefix 224\.0\.0\.0\/3 holds a multicast address/],
        ['address-usable', /source prefix ::\/0 holds the unspecified address/],
        ['address-usable', /VIP 127\.0\.0\.1 is a loopback address/],
        ['address-usable', /VIP ff02::1 is a multicast address/],
        ['address-usable', /backend fe80::1 is a link-local address/],
        ['address-usable', /backend :: is the unspecified address/],
      ],
    ],
    [
      'a prefix has no bits behind its length',
      {
        'fleet.yaml': fleet('vipPrefixes: [{prefix: ¦203.0.113.1/24}]'),
        'lb-1.yaml': document(
          'Node',
          'lb-1',
          'interfaces: [{name: eth0}]\nsources: {ipv4: 10.0.1.0/24, ipv6: ¦"fd00::1/64"}',
        ),
      },
      [
        [
          'prefix-host-bits',
          /203\.0\.113\.1\/24 has bits set behind its first 24\. Write 203\.0\.113\.0\/24 .* or 203\.0\.113\.1\/32/,
        ],
        ['prefix-host-bits', /Write fd00::\/64 for the prefix, or fd00::1\/128/],
      ],
    ],

    [
      'a name is used once for a kind',
      {
        'web.yaml': `${service(`${V4}\n${PORTS}\n${BACKENDS}`)}---\n${service(`vip: 203.0.113.11\n${PORTS}\n${BACKENDS}`, '¦web')}`,
        'pool.yaml': pool('[{address: 10.0.11.1}]'),
      },
      [['name-unique', /There is already a Service web at web\.yaml:3/]],
    ],
    [
      'a repository holds one Fleet',
      { 'other.yaml': document('Fleet', '¦other', 'fleetKey: {fingerprint: 0123456789abcdef}') },
      [['fleet-one', /There is already a Fleet at fleet\.yaml:3/]],
    ],
    ['a repository holds a Fleet', { 'fleet.yaml': null }, [['fleet-one', /There is no Fleet/]]],
    [
      'a Fleet that cannot be read is not called missing',
      { 'fleet.yaml': fleet('¦drfit: hold') },
      [['field-unknown', /Did you mean "drift"\?/]],
    ],
    [
      'a key that is made from the name is a warning',
      { 'fleet.yaml': 'apiVersion: ballast.dev/v1\nkind: Fleet\nmetadata: {name: ¦demo}\n' },
      [['fleet-key', /made from the name demo.*fingerprint in spec\.fleetKey/]],
    ],
    [
      'a window of a freeze comes, in a time zone that there is',
      {
        'fleet.yaml': fleet(
          'freeze:\n- {mode: deny, schedule: ¦"0 25 * * *", duration: 2h}\n- {mode: deny, schedule: ¦"0 18 * * FRI", duration: 2h, timeZone: Europe/Nowhere}\n- {mode: allow, schedule: ¦"0 0 30 2 *", duration: 2h}\n- {mode: allow, schedule: "0 18 * * FRI", duration: 62h, timeZone: Europe/Berlin}',
        ),
      },
      [
        ['freeze-schedule', /hour: 25/],
        ['freeze-schedule', /Europe\/Nowhere is no time zone/],
        ['freeze-schedule', /it never begins/],
      ],
    ],
    [
      'a window of a freeze lasts',
      { 'fleet.yaml': fleet('freeze:\n- {mode: allow, schedule: "0 18 * * FRI", duration: ¦0s}') },
      [['freeze-schedule', /lasts no time/]],
    ],
    [
      'the steps of a rollout grow',
      { 'fleet.yaml': fleet('rollout: {steps: [10, 50, ¦50]}') },
      [['rollout-steps', /50 % comes after 50 %/]],
    ],
    [
      'a freeze window of nodes that are none freezes nobody',
      {
        'fleet.yaml': fleet(
          'freeze:\n  - {mode: deny, schedule: "0 18 * * FRI", duration: 62h, ¦nodes: {matchLabels: {tier: edge}}}',
        ),
      },
      [['freeze-empty', /freezes nobody/]],
    ],
    [
      'a canary that no node is makes the first step the first wave',
      { 'fleet.yaml': fleet('rollout:\n  ¦canary: {matchLabels: {canary: "true"}}') },
      [['canary-empty', /No node is what `canary` asks for/]],
    ],
    [
      'a rollout has a probe for what IPVS forwards, of which nothing is counted',
      {
        'fleet.yaml': fleet(`¦rollout: {gates: {probes: [{address: 203.0.113.11, port: 81}]}}`),
        'web.yaml': service(`${V4}\n${PORTS}\n${BACKENDS}\ndataplane: ipvs`),
        'probed.yaml': service(
          `vip: 203.0.113.11\nports: [{port: 81, protocol: tcp}]\n${BACKENDS}\ndataplane: ipvs`,
          'probed',
        ),
      },
      [['rollout-unprobed', /no probe tries web: only whether nodes apply it/]],
    ],
    [
      'an override names a guard, a size and an end',
      {
        'web.yaml': `apiVersion: ballast.dev/v1
kind: Service
metadata:
  name: web
  annotations:
    override.ballast.dev/backends: 80% until 2026-12-24T18:00:00+01:00
    override.ballast.dev/flows: ¦all of them
    override.ballast.dev/everything: ¦1 until 2026-12-24T18:00:00Z
spec:
  ${V4}
  ${PORTS}
  ${BACKENDS}
`,
      },
      [
        ['override-valid', /a size from 0 to 1.*Write for instance `0\.8 until/],
        ['override-valid', /There is no guard everything\. The guards are backends, flows/],
      ],
    ],
    [
      'a tree without a manifest is refused and not taken for an empty fleet',
      {
        'fleet.yaml': null,
        'lb-1.yaml': null,
        'lb-2.yaml': null,
        'web.yaml': null,
        'other.yaml': 'apiVersion: v1\nkind: Pod\n',
      },
      [['tree-empty', /no manifest of Ballast here \(1 documents belong to others\)/]],
    ],
    ...BGP_CASES,
    ...IPVS_CASES,
  ]

const seen = new Set<string>()

for (const [about, changes, expected] of CASES)
  test(about, () => {
    const texts = Object.entries({ ...SOUND, ...changes }).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    )
    const { files, at } = readMarks(Object.fromEntries(texts))
    const lines = diagnose(files)
    const found = placesAndRules(lines).map(line => line.split(' ') as [string, string])
    assert.deepEqual(
      found.map(([, rule]) => rule).toSorted(),
      expected.map(([rule]) => rule).toSorted(),
      lines.join('\n'),
    )
    const places = [...new Set(found.map(([place]) => place).filter(place => place !== '.:1:1'))]
    assert.deepEqual(places, at, lines.join('\n'))
    for (const [rule, says] of expected) {
      assert.ok(
        lines.some(line => line.includes(` ${rule}: `) && says.test(line)),
        `${says} is not said:\n${lines.join('\n')}`,
      )
      seen.add(rule)
    }
  })

test('ids of rules are words, and unique', () => {
  assert.equal(new Set(RULES.map(({ id }) => id)).size, RULES.length)
  for (const { id } of RULES) assert.match(id, /^[a-z]+(-[a-z]+)*$/)
})

test('what is missing is not said when files could not be read at all', () => {
  const { files } = readMarks({ 'web.yaml': service(`${V4}\n${PORTS}\npool: web\nnodes: {names: [lb-9]}`) })
  const tree = parseManifests(files)
  const rules = (options: object) => checkRules(tree, options).map(({ rule }) => rule)
  assert.deepEqual(rules({}).toSorted(), ['fleet-one', 'node-exists', 'pool-exists'])
  assert.deepEqual(rules({ incomplete: true }), [])
})

test('findings of no file are said of the path that was read', () => {
  const [finding] = checkRules(parseManifests([]), { root: 'fleet/manifests' })
  assert.deepEqual(finding?.at, { file: 'fleet/manifests', line: 1, column: 1 })
})

test('every rule has a case here', () => {
  assert.deepEqual(
    RULES.map(({ id }) => id).filter(id => !seen.has(id)),
    [],
  )
})
