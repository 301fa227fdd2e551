import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createPathMatcher, selectFiles } from '../../reconciler/manifest/select-files.ts'

test('YAML files are manifests, in any folder', () => {
  assert.deepEqual(selectFiles(['a.yaml', 'x/y/b.yml', 'c.json', 'yaml', 'd.yaml.bak', 'README.md']), [
    'a.yaml',
    'x/y/b.yml',
  ])
})

test('.ballastignore has the syntax of .gitignore', () => {
  const paths = [
    'fleet.yaml',
    'charts/web.yaml',
    'charts/keep.yaml',
    'a/charts/b.yaml',
    'draft-1.yaml',
    'A/Draft-2.yaml',
  ]
  const ignoring = (text: string) => selectFiles(paths, text)
  assert.deepEqual(ignoring('# none\n\n'), paths)
  assert.deepEqual(ignoring('charts/\n'), ['fleet.yaml', 'draft-1.yaml', 'A/Draft-2.yaml'])
  assert.deepEqual(ignoring('/charts/*\n!/charts/keep.yaml\n'), [
    'fleet.yaml',
    'charts/keep.yaml',
    'a/charts/b.yaml',
    'draft-1.yaml',
    'A/Draft-2.yaml',
  ])
  assert.deepEqual(ignoring('draft-*\r\n'), paths.toSpliced(4, 1))
})

test('no path and no .ballastignore makes it throw', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary' }).map(text => `${text}.yaml`)),
      fc.string({ unit: 'binary' }),
      (paths, text) => {
        assert.ok(selectFiles(paths, text).every(path => paths.includes(path)))
      },
    ),
    { numRuns: 500 },
  )
})

test('paths of the Fleet count from the root, as folders, files or patterns', () => {
  const matches = (file: string, ...patterns: string[]) => createPathMatcher(patterns)(file)
  assert.ok(matches('teams/dns/a.yaml', 'teams/dns'))
  assert.ok(matches('teams/dns/a.yaml', 'teams/dns/'))
  assert.ok(matches('teams/dns/a.yaml', '/teams/dns/a.yaml'))
  assert.ok(matches('teams/dns/deep/a.yaml', 'teams/*/deep'))
  assert.ok(matches('x/y/z.yaml', '**/z.yaml'))
  assert.ok(!matches('web/teams/dns/a.yaml', 'teams/dns'))
  assert.ok(!matches('teams/dns-2/a.yaml', 'teams/dns'))
  assert.ok(!matches('Teams/dns/a.yaml', 'teams/dns'))
})
