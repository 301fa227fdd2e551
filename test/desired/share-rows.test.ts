import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { partsOf } from '../../reconciler/desired/share-rows.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'

const text = (kind: string, name: string, spec: object, labels: object = {}): string =>
  JSON.stringify({ apiVersion: 'ballast.dev/v1', kind, metadata: { name, labels }, spec })

const node = (name: string, labels: object) =>
  text('Node', name, { interfaces: [{ name: 'eth0' }], sources: { ipv4: '10.0.0.1/32' } }, labels)

const service = (name: string, vip: number, nodes: object) =>
  text('Service', name, {
    vip: `203.0.113.${vip}`,
    ports: [{ port: 80, protocol: 'tcp' }],
    backends: [{ address: '10.0.1.1' }],
    nodes,
  })

test('nodes that serve the same have the same objects, and both parts are all of the table', () => {
  const documents = [
    text('Fleet', 'test', {}),
    node('lb-1', { zone: 'a' }),
    node('lb-2', { zone: 'a' }),
    node('lb-3', { zone: 'b' }),
    service('everywhere', 1, {}),
    service('in-a', 2, { matchLabels: { zone: 'a' } }),
    service('named', 3, { names: ['lb-3'] }),
  ]
  const { manifests, diagnostics } = parseManifests([{ path: 'a.yaml', text: documents.join('\n---\n') }])
  assert.deepEqual(diagnostics, [])
  const { nodes } = buildDesired(manifests)
  const tables = [...nodes.values()].map(({ state }) => state.tables.xdp)
  const [one, two, three] = tables.map(table => partsOf(table)!)
  assert.equal(one!.shared, two!.shared)
  assert.notEqual(one!.shared, three!.shared)
  assert.deepEqual(three!.shared.names, {
    'service/203.0.113.1:80/tcp': 'everywhere',
    'service/203.0.113.3:80/tcp': 'named',
  })
  for (const [index, each] of [one!, two!, three!].entries()) {
    const { own, shared } = each
    assert.deepEqual([...Object.keys(own), ...shared.keys].sort(), Object.keys(tables[index]!).sort())
    for (const key of shared.keys) assert.equal(tables[index]![key], shared.rows[key])
  }
})
