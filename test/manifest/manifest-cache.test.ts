import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestFile } from '../../reconciler/manifest/manifest.ts'
import { createManifestCache } from '../../reconciler/manifest/manifest-cache.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'

const pool = (name: string) => ({
  text: `apiVersion: ballast.dev/v1\nkind: BackendPool\nmetadata: {name: ${name}}\nspec: {backends: [{address: 10.0.0.1}]}\n`,
  id: `id of ${name}`,
})

/** What parsing gives, without the functions in it. */
const read = (files: ManifestFile[], cache = createManifestCache()) => {
  const { manifests, ...rest } = parseManifests(files, { cache })
  return {
    ...rest,
    manifests: manifests.map(({ locate, ...each }) => ({ ...each, there: locate(['spec']) })),
  }
}

test('a file whose blob is known is not parsed again, wherever it stands now', () => {
  const cache = createManifestCache()
  const [before] = parseManifests([{ path: 'a.yaml', ...pool('web') }], { cache }).manifests
  const [after] = parseManifests([{ path: 'b/c.yaml', ...pool('web') }], { cache }).manifests
  assert.equal(after?.spec, before?.spec)
  assert.equal(after?.at.file, 'b/c.yaml')
  assert.equal(after?.locate(['spec']).file, 'b/c.yaml')
})

test('with and without a cache, and for the first and the third time, the same is read', () => {
  const files = [
    { path: 'a.yaml', ...pool('web') },
    { path: 'b.yaml', text: 'apiVersion: ballast.dev/v1\nkind: Nothing\n---\nother: 1\n', id: 'b' },
    { path: 'c.yaml', ...pool('api') },
  ]
  const cache = createManifestCache()
  const fresh = read(files)
  assert.equal(fresh.diagnostics.length, 1)
  assert.equal(fresh.ignored, 1)
  for (let i = 0; i < 3; i += 1) assert.deepEqual(read(files, cache), fresh)
})

test('the cache keeps what the last two trees asked for', () => {
  const cache = createManifestCache()
  const both = [
    { path: 'a.yaml', ...pool('web') },
    { path: 'c.yaml', ...pool('api') },
  ]
  read(both, cache)
  read(both.slice(1), cache)
  assert.ok(cache.get('id of web') !== undefined, 'a revert finds it')
  read(both.slice(1), cache)
  read(both.slice(1), cache)
  assert.equal(cache.get('id of web'), undefined)
  assert.ok(cache.get('id of api') !== undefined)
})
