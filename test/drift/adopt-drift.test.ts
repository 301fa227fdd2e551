import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { type Adoption, adoptDrift } from '../../reconciler/drift/adopt-drift.ts'
import { findDrift } from '../../reconciler/drift/find-drift.ts'
import type { ManifestFile } from '../../reconciler/manifest/manifest.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { DRIFT_RECORD_VERSION, type DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeTables, XdpServiceRow } from '../../schemas/node-state.ts'
import { soundFleet } from '../manifest/arbitrary-manifests.ts'

const tablesOf = (files: readonly ManifestFile[], node: string): NodeTables =>
  buildDesired(parseManifests(files).manifests).nodes.get(node)!.state.tables

function driftOf(node: string, desired: NodeTables, observed: NodeTables): DriftRecord[] {
  const common = { version: DRIFT_RECORD_VERSION, node, service: null, revision: null } as const
  return findDrift(desired, observed, 0).map(item => ({
    ...common,
    ...item,
    effect: { share: null, text: '' },
  }))
}

const withXdp = (
  tables: NodeTables,
  changes: Record<string, NodeTables['xdp'][string] | null>,
): NodeTables => ({
  ...tables,
  xdp: Object.fromEntries(
    Object.entries({ ...tables.xdp, ...changes }).flatMap(([key, row]) => (row === null ? [] : [[key, row]])),
  ),
})

function merged(files: readonly ManifestFile[], adoption: Adoption): ManifestFile[] {
  assert.ok(adoption.kind === 'edits', adoption.kind === 'refused' ? adoption.why : '')
  return [
    ...files.filter(({ path }) => !adoption.edits.has(path)),
    ...[...adoption.edits].flatMap(([path, text]) => (text === null ? [] : [{ path, text }])),
  ]
}

const manifest = (kind: string, name: string, spec: string): string =>
  `apiVersion: ballast.dev/v1\nkind: ${kind}\nmetadata:   { name: ${name} }   # ${name}\nspec:\n${spec}`

const WEB = 'service/203.0.113.10:80/tcp'

const fleet = (...nodes: string[]): ManifestFile[] => [
  { path: 'm/fleet.yaml', text: manifest('Fleet', 'f', '  drift: hold\n') },
  ...nodes.map(name => ({
    path: `m/${name}.yaml`,
    text: manifest(
      'Node',
      name,
      '  interfaces: [{ name: eth0 }]\n  sources: { ipv4: 10.0.0.1/32 }\n  mtu:   1600   # jumbo\n',
    ),
  })),
  {
    path: 'm/services/web.yaml',
    text: manifest(
      'Service',
      'web',
      '  vip: 203.0.113.10\n\n\n  ports: [{ port: 80, protocol: tcp }]\n  backends:\n    # the old one\n    - { address: 10.0.1.1,   weight: 5 }   # rack 1\n    - { address: 10.0.1.2, weight: 5 } # rack 2\n    # the end\n',
    ),
  },
]

/** Adopts what was found on lb-1; all nodes have it where `everywhere`. */
function adopt(
  files: readonly ManifestFile[],
  change: (tables: NodeTables) => NodeTables,
  { allNodes = false, everywhere = false } = {},
): Adoption {
  const nodes = everywhere ? ['lb-1', 'lb-2'] : ['lb-1']
  const open = nodes.flatMap(node => driftOf(node, tablesOf(files, node), change(tablesOf(files, node))))
  return adoptDrift({ files, path: 'm', record: open[0]!, open, allNodes })
}

const changeWeb = (tables: NodeTables): NodeTables => {
  const row = tables.xdp[WEB] as XdpServiceRow
  const backends = [
    { address: '10.0.1.1', weight: 9 },
    { address: '10.0.1.3', weight: 2 },
  ]
  return withXdp(tables, { [WEB]: { ...row, backends, ring: { ...row.ring, differing: 77 } } })
}

test('other backends: comments and lines that nothing changes stay as they are written', () => {
  const files = fleet('lb-1')
  const adoption = adopt(files, changeWeb)
  const after = merged(files, adoption)
  assert.equal(
    after.find(({ path }) => path === 'm/services/web.yaml')?.text,
    files
      .at(-1)!
      .text.replace('10.0.1.1,   weight: 5 }   #', '10.0.1.1, weight: 9 } #')
      .replace('{ address: 10.0.1.2, weight: 5 } # rack 2', '{ address: 10.0.1.3, weight: 2 }'),
  )
})

test('what another node has not drifted to is changed with --all-nodes alone, and without when it has', () => {
  const files = fleet('lb-1', 'lb-2')
  const refused = adopt(files, changeWeb)
  assert.ok(refused.kind === 'refused')
  assert.match(refused.why, /lb-2 xdp service\/203\.0\.113\.10:80\/tcp.*--all-nodes/)
  const taken = adopt(files, changeWeb, { allNodes: true })
  assert.deepEqual(taken.kind === 'edits' && taken.also, [`lb-2 xdp ${WEB}`])
  const both = adopt(files, changeWeb, { everywhere: true })
  assert.deepEqual(both.kind === 'edits' && both.also, [])
})

test('a missing service leaves the node that lost it, or goes when no other has it', () => {
  const lose = (tables: NodeTables) => withXdp(tables, { [WEB]: null })
  const two = fleet('lb-1', 'lb-2')
  const after = merged(two, adopt(two, lose))
  assert.equal(tablesOf(after, 'lb-1').xdp[WEB], undefined)
  assert.deepEqual(tablesOf(after, 'lb-2'), tablesOf(two, 'lb-2'))
  const one = fleet('lb-1')
  const gone = adopt(one, lose)
  assert.deepEqual(gone.kind === 'edits' && [...gone.edits], [['m/services/web.yaml', null]])
})

test('an unexpected service becomes a manifest beside the others, for that node alone', () => {
  const files = fleet('lb-1', 'lb-2')
  const key = 'service/203.0.113.99:53/udp'
  const adoption = adopt(files, tables => {
    const row = tables.xdp[WEB] as XdpServiceRow
    return withXdp(tables, {
      [key]: { ...row, vip: '203.0.113.99', port: 53, protocol: 'udp', idleTimeout: 9 },
    })
  })
  assert.deepEqual(adoption.kind === 'edits' && [...adoption.edits.keys()], [
    'm/services/adopted-203-0-113-99-53-udp.yaml',
  ])
  const after = merged(files, adoption)
  assert.equal((tablesOf(after, 'lb-1').xdp[key] as XdpServiceRow).idleTimeout, 9)
  assert.equal(tablesOf(after, 'lb-2').xdp[key], undefined)
})

test('settings and interfaces of a node are fields of its manifest', () => {
  const files = fleet('lb-1', 'lb-2')
  const settings = tablesOf(files, 'lb-1').xdp.settings!
  assert.ok(settings.kind === 'settings')
  const after = merged(
    files,
    adopt(files, tables => withXdp(tables, { settings: { ...settings, mtu: 1400, unmatched: 'pass' } })),
  )
  assert.match(
    after.find(({ path }) => path === 'm/lb-1.yaml')!.text,
    /mtu: 1400 # jumbo\n {2}unmatched: pass/,
  )
  const attached = merged(
    files,
    adopt(files, tables =>
      withXdp(tables, { 'interface/eth1': { kind: 'interface', name: 'eth1', attach: 'auto' } }),
    ),
  )
  assert.ok(tablesOf(attached, 'lb-1').xdp['interface/eth1'])

  const key = 'interface/eth0'
  const asked = files.map(({ path, text }) => ({
    path,
    text: text.replace('{ name: eth0 }', '{ name: eth0, rps: 3, cpus: 0-7 }'),
  }))
  for (const rps of [{ rps: '0-1' }, { cpus: '2' }, {}]) {
    const steered = merged(
      asked,
      adopt(asked, tables =>
        withXdp(tables, { [key]: { kind: 'interface', name: 'eth0', attach: 'native', ...rps } }),
      ),
    )
    const row = { kind: 'interface', name: 'eth0', attach: 'native', ...rps }
    assert.deepEqual(tablesOf(steered, 'lb-1').xdp[key], row)
  }
})

test('what no manifest says is refused with why', () => {
  const files = fleet('lb-1')
  const why = (change: (tables: NodeTables) => NodeTables) => {
    const adoption = adopt(files, change)
    return adoption.kind === 'refused' ? adoption.why : adoption.kind
  }
  const row = tablesOf(files, 'lb-1').xdp[WEB] as XdpServiceRow
  const broken = { ...row, ring: { ...row.ring, differing: 3 } }
  assert.match(
    why(tables => withXdp(tables, { [WEB]: broken })),
    /Only the ring or the order of the backends differs/,
  )
  assert.match(
    why(tables => withXdp(tables, { [WEB]: { ...row, backends: [] } })),
    /would not be valid/,
  )
  const settings = tablesOf(files, 'lb-1').xdp.settings!
  assert.match(
    why(tables => withXdp(tables, { settings: { ...settings, fleetKey: '0'.repeat(16) } as never })),
    /No field/,
  )
})

test('law: with the edit, manifests ask for the row that was found, and comments are still there', () => {
  fc.assert(
    fc.property(
      soundFleet,
      fc.nat(),
      fc.integer({ min: 1, max: 999 }),
      fc.nat(3),
      (list, pick, weight, how) => {
        const files = list.map((each, index) => ({
          path: `${index}.yaml`,
          text: `# about ${each.metadata.name}\n${stringify(each).replaceAll(/(weight: \d+)/g, '$1   # by hand')}`,
        }))
        const before = tablesOf(files, 'lb-0')
        const keys = Object.keys(before.xdp).filter(key => key.startsWith('service/'))
        fc.pre(keys.length > 0)
        const key = keys[pick % keys.length]!
        const row = before.xdp[key] as XdpServiceRow
        const backends = row.backends.map(each => ({ ...each }))
        if (how === 0) backends[pick % backends.length]!.weight = weight
        else if (how === 1) backends.push({ address: 'fd00:ffff::1', weight })
        else if (how === 2) {
          backends[0]!.weight = weight
          backends.splice(1, 1)
        }
        const idleTimeout = how === 3 ? weight : row.idleTimeout
        const observed = withXdp(before, { [key]: { ...row, backends, idleTimeout } })
        const [record] = driftOf('lb-0', before, observed)
        fc.pre(record !== undefined)
        const adoption = adoptDrift({ files, path: '', record, open: [record], allNodes: true })
        if (adoption.kind === 'refused') {
          // Without a usable backend a manifest is not valid.
          assert.match(adoption.why, /not be valid/)
          return
        }
        const after = merged(files, adoption)
        assert.deepEqual(tablesOf(after, 'lb-0').xdp[key], observed.xdp[key])
        for (const { path, text } of after) {
          const was = files.find(each => each.path === path)!.text
          const lost = (was.match(/weight:/g) ?? []).length - (text.match(/weight:/g) ?? []).length
          const comments = (of: string) => of.match(/#.*/g)?.length ?? 0
          assert.ok(comments(text) >= comments(was) - Math.max(lost, 0), text)
        }
      },
    ),
    { numRuns: 60 },
  )
})
