import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'

const broken = `apiVersion: ballast.dev/v1\nkind: Service\nmetadata: { name: Bad_Name }\nspec: {}\n${'# '.padEnd(200_000, 'x')}\n`
const sound = 'apiVersion: ballast.dev/v1\nkind: Fleet\nmetadata: { name: demo }\n'

test('a tree that is wrong all over ends where a million characters of it are, and says so once', () => {
  const files = Array.from({ length: 50 }, (_, index) => ({
    path: `${String(index).padStart(2, '0')}.yaml`,
    text: broken,
  }))
  const { diagnostics, incomplete } = parseManifests([...files, { path: 'z.yaml', text: sound }])
  const cut = diagnostics.filter(({ rule }) => rule === 'too-many')
  assert.equal(incomplete, true)
  assert.deepEqual(
    cut.map(({ at, message }) => [at.file, message]),
    [['06.yaml', 'So much is wrong in the files before this one that it and 44 more were not looked at.']],
  )
  assert.ok(diagnostics.every(({ at }) => at.file <= '06.yaml'))
})

test('sound files do not count, however many', () => {
  const files = Array.from({ length: 30 }, (_, index) => ({
    path: `${index}.yaml`,
    text: sound.replace('demo', `demo-${index}`) + '# '.padEnd(100_000, 'x'),
  }))
  const { diagnostics, incomplete, manifests } = parseManifests(files)
  assert.deepEqual([diagnostics, incomplete, manifests.length], [[], false, 30])
})
