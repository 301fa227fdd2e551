import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { type Adoption, adoptDrift } from '../../reconciler/drift/adopt-drift.ts'
import { findDrift } from '../../reconciler/drift/find-drift.ts'
import type { ManifestFile } from '../../reconciler/manifest/manifest.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { BgpRouteRow, IpvsServiceRow, NodeTables } from '../../schemas/node-state.ts'

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n${spec}`

const node = (name: string, address: string): ManifestFile => ({
  path: `m/${name}.yaml`,
  text: document(
    'Node',
    name,
    `  interfaces: [{ name: eth0 }]\n  sources: { ipv4: ${address}/32 }\n  addresses: [${address}]\n  bgp: { asn: 64513 }\n`,
  ),
})

const peer = (name: string, address: string): ManifestFile => ({
  path: `m/${name}.yaml`,
  text: document('BgpPeer', name, `  address: ${address}\n  asn: 64512 # the fabric\n`),
})

const service = (name: string, vip: string, more: string): ManifestFile => ({
  path: `m/${name}.yaml`,
  text: document(
    'Service',
    name,
    `  vip: ${vip}\n  ports: [{ port: 80, protocol: tcp }]\n  backends: [{ address: 10.0.1.1 }]\n${more}`,
  ),
})

const files: readonly ManifestFile[] = [
  { path: 'm/fleet.yaml', text: document('Fleet', 'f', '  drift: hold\n') },
  node('lb-1', '10.0.0.1'),
  peer('tor-1', '10.0.0.254'),
  peer('tor-2', '10.0.0.253'),
  service('web', '203.0.113.10', '  announce: # to all\n    communities: ["64513:1"] # a colour\n'),
  service('plain', '203.0.113.11', '  announce: true # as usual\n'),
  service('quiet', '203.0.113.12', '  # nobody hears of it\n'),
  service('local', '203.0.113.13', '  dataplane: ipvs\n  forwarding: nat\n'),
]

const tablesOf = (all: readonly ManifestFile[]): NodeTables =>
  buildDesired(parseManifests(all).manifests).nodes.get('lb-1')!.state.tables

/** What becomes of what was found on lb-1 in place of what `all` ask for. */
function adopt(found: (tables: NodeTables) => NodeTables, all = files): Adoption {
  const wanted = tablesOf(all)
  const common = { version: DRIFT_RECORD_VERSION, node: 'lb-1', service: null, revision: null } as const
  const open = findDrift(wanted, found(wanted), 0)
    .filter(({ key }) => !key.startsWith('condition/'))
    .map((item): DriftRecord => ({ ...common, ...item, effect: { share: null, text: '' } }))
  return adoptDrift({ files: all, path: 'm', record: open[0]!, open, allNodes: false })
}

const withBgp = (tables: NodeTables, key: string, row: BgpRouteRow | null): NodeTables => {
  const { [key]: _, ...rest } = tables.bgp
  return { ...tables, bgp: row === null ? rest : { ...rest, [key]: row } }
}

const routeOf = (tables: NodeTables, vip: string): BgpRouteRow => tables.bgp[`route/${vip}/32`] as BgpRouteRow

const textOf = (adoption: Adoption, path: string): string => {
  assert.ok(adoption.kind === 'edits', adoption.kind === 'refused' ? adoption.why : '')
  return adoption.edits.get(path) ?? ''
}

test('other attributes of an announcement are fields of its Service, where they are written', () => {
  const text = textOf(
    adopt(tables =>
      withBgp(tables, 'route/203.0.113.10/32', {
        ...routeOf(tables, '203.0.113.10'),
        communities: ['64513:1', '64513:7'],
        med: 0,
        peers: ['tor-2'],
      }),
    ),
    'm/web.yaml',
  )
  assert.match(text, /announce: # to all\n/)
  assert.match(text, /med: 0/)
  const { spec } = parseManifests([{ path: 'm', text }]).manifests[0] as { spec: { announce: object } }
  const { communities, peers } = spec.announce as { communities: string[]; peers: string[] }
  assert.deepEqual([communities, peers], [['64513:1', '64513:7'], ['tor-2']])
})

test('attributes of what is announced with the defaults take the place of `true`', () => {
  const text = textOf(
    adopt(tables =>
      withBgp(tables, 'route/203.0.113.11/32', { ...routeOf(tables, '203.0.113.11'), prepend: 2 }),
    ),
    'm/plain.yaml',
  )
  assert.match(text, /announce:[^\n]*\n {4}prepend: 2\n/)
})

test('an announcement of a VIP that is served is one of its Service, and a missing one is none', () => {
  const announced = adopt(tables =>
    withBgp(tables, 'route/203.0.113.12/32', {
      ...routeOf(tables, '203.0.113.11'),
      prefix: '203.0.113.12/32',
    }),
  )
  assert.match(textOf(announced, 'm/quiet.yaml'), /\n {2}announce: true\n {2}# nobody hears of it\n/)
  const silent = adopt(tables => withBgp(tables, 'route/203.0.113.11/32', null))
  assert.doesNotMatch(textOf(silent, 'm/plain.yaml'), /announce/)
})

test('what is nobody’s VIP, and what two Services announce together, is refused with why', () => {
  const foreign = adopt(tables =>
    withBgp(tables, 'route/198.51.100.1/32', {
      ...routeOf(tables, '203.0.113.11'),
      prefix: '198.51.100.1/32',
    }),
  )
  assert.match(foreign.kind === 'refused' ? foreign.why : '', /is the VIP of no Service on lb-1/)
  const aggregate = '  announce: { aggregate: [203.0.113.0/24] }\n'
  const both = [
    ...files.slice(0, 4),
    service('a', '203.0.113.20', aggregate),
    service('b', '203.0.113.21', aggregate),
  ]
  const shared = adopt(tables => withBgp(tables, 'route/203.0.113.0/24', null), both)
  assert.match(shared.kind === 'refused' ? shared.why : '', /a and b announce 203\.0\.113\.0\/24 together/)
})

const LOCAL = 'service/203.0.113.13:80/tcp'
const NAT = { method: 'nat' } as const

function extraIpvs(tables: NodeTables, fields: Partial<IpvsServiceRow>): NodeTables {
  const row: IpvsServiceRow = {
    ...(tables.ipvs[LOCAL] as IpvsServiceRow),
    match: { by: 'address', vip: '203.0.113.13', port: 443, protocol: 'tcp' },
    ...fields,
  }
  return { ...tables, ipvs: { ...tables.ipvs, 'service/203.0.113.13:443/tcp': row } }
}

test('an unexpected service of IPVS is a Service with its backends, scheduler, flags and persistence', () => {
  const backend = { weight: 3, forwarding: NAT, upper: 100, lower: 50 }
  const adoption = adopt(tables =>
    extraIpvs(tables, {
      scheduler: 'mh',
      schedulerFlags: { port: true, fallback: false },
      persistence: { timeout: 60, prefixLength: 24, engine: '' },
      backends: [
        { ...backend, address: '10.0.1.9', port: 8443 },
        { ...backend, address: '10.0.1.1', port: 443 },
      ],
    }),
  )
  const text = textOf(adoption, 'm/adopted-203-0-113-13-443-tcp.yaml')
  assert.match(text, /dataplane: ipvs\n[\s\S]*scheduler: maglev\n[\s\S]*fallback: false\n[\s\S]*upper: 100/)
  assert.match(text, /persistence:\n {6}timeout: 60\n {6}ipv4PrefixLength: 24\n/)
})

test('fields of a service of IPVS are adopted, and what no Service can be is refused with why', () => {
  const changed = adopt(tables => ({
    ...tables,
    ipvs: {
      ...tables.ipvs,
      [LOCAL]: {
        ...(tables.ipvs[LOCAL] as IpvsServiceRow),
        scheduler: 'wlc',
        schedulerFlags: { port: false, fallback: false },
        persistence: { timeout: 300, prefixLength: 32, engine: '' },
      },
    },
  }))
  assert.match(textOf(changed, 'm/local.yaml'), /scheduler: wlc\n[\s\S]*persistence:/)
  const backend = { address: '10.0.1.1', port: 443, weight: 1, upper: 0, lower: 0 }
  const mixed = adopt(tables =>
    extraIpvs(tables, {
      backends: [
        { ...backend, forwarding: NAT },
        { ...backend, address: '10.0.1.2', forwarding: { method: 'ipip' } },
      ],
    }),
  )
  assert.match(mixed.kind === 'refused' ? mixed.why : '', /reached in different ways/)
})

test('a session that is gone is taken from the node, or goes when no other has it', () => {
  const gone = adopt(tables => {
    const { 'peer/tor-2': _, ...bgp } = tables.bgp
    const routes = Object.entries(bgp).map(([key, row]) => [
      key,
      row.kind === 'route' ? { ...row, peers: ['tor-1'] } : row,
    ])
    return { ...tables, bgp: Object.fromEntries(routes) }
  })
  assert.ok(gone.kind === 'edits', gone.kind === 'refused' ? gone.why : '')
  assert.deepEqual([...gone.edits], [['m/tor-2.yaml', null]])
})
