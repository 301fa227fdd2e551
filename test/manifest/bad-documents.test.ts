import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { renderDiagnostic } from '../../reconciler/manifest/render-diagnostic.ts'
import { placesAndRules, readMarks } from './marked-files.ts'

/** One document, with `¦` in front of every place that a diagnostic points at; `expected` says what each says. */
interface Case {
  readonly about: string
  readonly text: string
  readonly expected: readonly (readonly [rule: string, says: RegExp])[]
}

const service = (spec: string, metadata = 'name: web') => `apiVersion: ballast.dev/v1
kind: Service
metadata: {${metadata}}
spec:
${spec.replace(/^/gm, '  ')}
`
const PORTS = 'ports: [{port: 80, protocol: tcp}]'
const VIP = 'vip: 203.0.113.10'

const CASES: readonly Case[] = [
  {
    about: 'an unknown key near a known one is named with what was meant',
    text: service(`${VIP}\n${PORTS}\n¦bakends: [{address: 10.0.0.1}]`),
    expected: [['field-unknown', /spec has no field "bakends"\. Did you mean "backends"\?/]],
  },
  {
    about: 'an unknown key like nothing else is answered with the fields that there are',
    text: service(`${VIP}\n${PORTS}\npool: web\nnodes: {¦zone: eu}`),
    expected: [['field-unknown', /spec\.nodes has no field "zone"\. .*matchLabels, names\./]],
  },
  {
    about: 'a key of the wrong level is unknown where it stands',
    text: `¦vip: 1.2.3.4\n${service(`${VIP}\n${PORTS}\npool: web`)}`,
    expected: [['field-unknown', /The manifest has no field "vip"/]],
  },
  {
    about: 'all that is wrong in a document comes at once',
    text: service(
      '¦vip: []\nports:\n  - ¦{¦prot: 80, protocol: ¦TCP}\nbackends:\n  - {address: ¦10.0.0.256, weight: ¦-1, drain: ¦"true"}',
      'name: ¦Web',
    ),
    expected: [
      ['field-value', /metadata\.name cannot be "Web"\. Unique.*lower-case/],
      ['field-value', /spec\.vip must have at least 1 entry, and has 0/],
      ['field-missing', /spec\.ports\[0\]\.port is missing\. Add it\. A port/],
      ['field-unknown', /spec\.ports\[0\] has no field "prot"\. Did you mean "port"\?/],
      ['field-value', /protocol is "TCP", which is none of tcp, udp, sctp\. Did you mean "tcp"\?/],
      ['field-value', /address is no IPv4 or IPv6 address: "10\.0\.0\.256"/],
      ['field-value', /weight must be at least 0, not -1/],
      ['field-type', /drain must be true or false, not "true"\. Write true or false, without quotes/],
    ],
  },
  {
    about: 'a quoted number is told to lose its quotes',
    text: service(`${VIP}\nports: [{port: ¦"80", protocol: tcp}]\npool: web`),
    expected: [['field-type', /port must be a number, not "80"\. Remove the quotes/]],
  },
  {
    about: 'a number that should be text is told to get quotes',
    text: service(`${VIP}\n${PORTS}\npool: web`, 'name: web, labels: {tier: ¦1, app: ¦true}'),
    expected: [
      ['field-type', /metadata\.labels\.tier must be text, not 1\. Put it in quotes/],
      ['field-type', /metadata\.labels\.app must be text, not true/],
    ],
  },
  {
    about: 'a key without a value is pointed at itself',
    text: service(`${VIP}\n${PORTS}\npool: web\n¦nodes:`),
    expected: [['field-type', /spec\.nodes must be a mapping, not nothing\. Remove the key/]],
  },
  {
    about: 'a fraction and a port beyond the last are refused',
    text: service(`${VIP}\nports: [{port: ¦80.5, protocol: tcp}, {port: ¦65536, protocol: udp}]\npool: web`),
    expected: [
      ['field-type', /ports\[0\]\.port must be a whole number, not 80\.5/],
      ['field-value', /ports\[1\]\.port must be at most 65535, not 65536/],
    ],
  },
  {
    about: 'the wrong one of two VIPs is the one that is pointed at',
    text: service(`vip: [203.0.113.10, ¦"2001:db8::g"]\n${PORTS}\npool: web`),
    expected: [['field-value', /spec\.vip\[1\] is no IPv4 or IPv6 address: "2001:db8::g"/]],
  },
  {
    about: 'a VIP that is neither text nor a list is refused',
    text: service(`vip: ¦3\n${PORTS}\npool: web`),
    expected: [['field-type', /spec\.vip must be text, not 3/]],
  },
  {
    about: 'a label key that cannot be one is pointed at',
    text: service(`${VIP}\n${PORTS}\npool: web`, 'name: web, labels: {¦-a: b}'),
    expected: [['field-value', /metadata\.labels cannot have the key "-a"/]],
  },
  {
    about: 'what is missing is said of the mapping that misses it',
    text: 'apiVersion: ballast.dev/v1\nkind: BackendPool\nmetadata: {name: web}\n¦spec: {}\n',
    expected: [['field-missing', /spec\.backends is missing/]],
  },
  {
    about: 'a prefix of the wrong family, and one that is none, are refused',
    text: 'apiVersion: ballast.dev/v1\nkind: Node\nmetadata: {name: lb-1}\nspec:\n  interfaces: [{name: ¦"eth 0"}]\n  sources: {ipv4: ¦"fd00::/64", ipv6: ¦"fd00::/129"}\n',
    expected: [
      ['field-value', /interfaces\[0\]\.name cannot be "eth 0"/],
      ['field-value', /sources\.ipv4 is no IPv4 prefix in CIDR notation: "fd00::\/64"/],
      ['field-value', /sources\.ipv6 is no IPv6 prefix/],
    ],
  },
  {
    about: 'a kind that there is not is answered with the one that was meant',
    text: 'apiVersion: ballast.dev/v1\nkind: ¦Backendpool\nmetadata: {name: web}\n',
    expected: [['kind', /There is no kind "Backendpool"\. Did you mean "BackendPool"\?/]],
  },
  {
    about: 'a missing kind is said',
    text: '¦apiVersion: ballast.dev/v1\nmetadata: {name: web}\n',
    expected: [['kind', /The kind is missing\. .*Service, BackendPool, Node, BgpPeer, Fleet/]],
  },
  {
    about: 'a version that is not known is an error and not a document of others',
    text: 'apiVersion: ¦ballast.dev/v2\nkind: Service\n',
    expected: [['api-version', /"ballast\.dev\/v2" is unknown.* Write ballast\.dev\/v1/]],
  },
  {
    about: 'a slip in the apiVersion does not make a document disappear',
    text: 'apiVersion: ¦balast.dev/v1\nkind: Service\n',
    expected: [['api-version', /"balast\.dev\/v1" is unknown/]],
  },
  {
    about: 'a slip in the key of the apiVersion does not either',
    text: '¦apiversion: ballast.dev/v1\nkind: Service\n',
    expected: [['api-version', /The apiVersion is missing/]],
  },
]

for (const { about, text, expected } of CASES)
  test(about, () => {
    const { files, at } = readMarks({ 'services/web.yaml': text })
    const { diagnostics, manifests, broken } = parseManifests(files)
    const lines = diagnostics.map(each => renderDiagnostic(each))
    assert.deepEqual(
      placesAndRules(lines)
        .map(line => line.split(' ')[1])
        .toSorted(),
      expected.map(([rule]) => rule).toSorted(),
      lines.join('\n'),
    )
    const places = new Set(placesAndRules(lines).map(line => line.split(' ')[0]))
    assert.deepEqual([...places], at, lines.join('\n'))
    for (const [rule, says] of expected)
      assert.ok(
        lines.some(line => line.includes(` ${rule}: `) && says.test(line)),
        `${says} is not said:\n${lines.join('\n')}`,
      )
    assert.equal(manifests.length, 0)
    assert.equal(broken.length, 1)
  })
