import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkRules } from '../../reconciler/manifest/check-rules.ts'
import type { Manifest, ManifestFile } from '../../reconciler/manifest/manifest.ts'
import { createManifestCache } from '../../reconciler/manifest/manifest-cache.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'

const document = (kind: string, name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'ballast.dev/v1', kind, metadata: { name }, spec })

const backend = fc.record({
  address: fc.constantFrom('10.0.0.1', '10.0.0.2', '2001:db8::1', '127.0.0.1', '203.0.113.1'),
  weight: fc.constantFrom(0, 100),
  drain: fc.boolean(),
})
const backends = fc.array(backend, { minLength: 1, maxLength: 3 })
const pool = backends.map(list => document('BackendPool', 'pool', { backends: list }))
const service = (name: string) =>
  fc
    .record(
      {
        vip: fc.array(fc.constantFrom('203.0.113.1', '203.0.113.2', '2001:db8::53'), {
          minLength: 1,
          maxLength: 2,
        }),
        ports: fc.array(
          fc.record({ port: fc.constantFrom(80, 443), protocol: fc.constantFrom('tcp', 'udp', 'sctp') }),
          { maxLength: 2 },
        ),
        pool: fc.constantFrom('pool', 'none'),
        backends,
        quic: fc.constant({ configId: 1 }),
        access: fc.record({ allow: fc.array(fc.constantFrom('192.0.2.0/24', '192.0.2.1/24')) }),
      },
      { requiredKeys: ['vip', 'ports'] },
    )
    .map(spec => document('Service', name, spec))

/** A revision: what some of the files hold now. Two services may be in one file, and one under another's name. */
const change = fc.record(
  {
    'pool.yaml': pool,
    'web.yaml': service('web'),
    'two.yaml': fc.tuple(service('api'), service('web')).map(texts => texts.join('\n---\n')),
  },
  { requiredKeys: [] },
)

const FIXED: ManifestFile[] = [
  { path: 'fleet.yaml', text: document('Fleet', 'test', {}), id: 'fleet' },
  {
    path: 'node.yaml',
    text: document('Node', 'lb-1', { interfaces: [{ name: 'eth0' }], sources: { ipv4: '10.1.0.1/32' } }),
    id: 'node',
  },
]

test('rules find the same whatever was checked before', () => {
  const rules = new Set<string>()
  fc.assert(
    fc.property(fc.array(change, { minLength: 2, maxLength: 6 }), changes => {
      const cache = createManifestCache()
      const texts = new Map<string, string>()
      for (const each of changes) {
        for (const [path, text] of Object.entries(each)) texts.set(path, text!)
        const files = [...FIXED, ...Array.from(texts, ([path, text]) => ({ path, text, id: text }))]
        const again = checkRules(parseManifests(files, { cache }))
        assert.deepEqual(again, checkRules(parseManifests(files)))
        for (const { rule } of again) rules.add(rule)
      }
    }),
    { numRuns: 40 },
  )
  assert.ok(rules.size > 12, `too few rules found anything: ${[...rules].join(', ')}`)
})

test('of services that were found sound, rules about one service only look at those that changed', () => {
  let looks = 0
  const counted = (manifest: Manifest): Manifest =>
    manifest.kind === 'Service'
      ? {
          ...manifest,
          spec: Object.defineProperty({ ...manifest.spec }, 'access', { get: () => void looks++ }),
        }
      : manifest
  const fileOf = (index: number, weight: number): ManifestFile => ({
    path: `${index}.yaml`,
    text: document('Service', `service-${index}`, {
      vip: `203.0.113.${index}`,
      ports: [{ port: 80, protocol: 'tcp' }],
      backends: [{ address: `10.0.0.${index}`, weight }],
    }),
  })
  const files = [...FIXED, ...Array.from({ length: 50 }, (_, index) => fileOf(index, 100))]
  const tree = parseManifests(files)
  const before = { ...tree, manifests: tree.manifests.map(counted) }
  checkRules(before)
  const ofOne = looks / 50
  assert.ok(ofOne >= 1)
  looks = 0
  const [changed] = parseManifests([fileOf(7, 50)]).manifests
  const manifests = before.manifests.map(each =>
    each.metadata.name === 'service-7' ? counted(changed!) : each,
  )
  checkRules({ ...before, manifests })
  assert.equal(looks, ofOne)
})
