import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { renderDiagnostic } from '../../reconciler/manifest/render-diagnostic.ts'
import { readMarks } from './marked-files.ts'

const pool = (backend: string) => `apiVersion: ballast.dev/v1
kind: BackendPool
metadata:
  name: web
spec:
  backends:
    - address: 10.0.0.1
${backend.replace(/^/gm, '      ')}
`

/** `¦` stands where the one diagnostic points at. */
const TRAPS: readonly (readonly [about: string, text: string, rule: string, says: RegExp])[] = [
  ['a number with a zero in front', pool('weight: ¦017'), 'yaml-ambiguous', /017: .*octal in YAML 1\.1/],
  ['an octal number', pool('weight: ¦0o17'), 'yaml-ambiguous', /0o17: .* Write 15/],
  ['a number with underscores', pool('weight: ¦1_000'), 'yaml-ambiguous', /1_000: .*plain digits/],
  ['a binary number', pool('weight: ¦0b11'), 'yaml-ambiguous', /0b11/],
  ['a number to the base of 60', pool('labels: {from: ¦12:30}'), 'yaml-ambiguous', /base of 60.* Quote it/],
  ['yes for true', pool('drain: ¦yes'), 'yaml-ambiguous', /yes: .* Write true/],
  ['Off for false', pool('drain: ¦Off'), 'yaml-ambiguous', /Off: .* Write false/],
  ['no as text', pool('labels: {country: ¦no}'), 'yaml-ambiguous', /no: .*quote it if it is text/],
  ['on as a key', pool('labels: {¦on: "1"}'), 'yaml-ambiguous', /on: /],
  [
    'an address that ends with a colon',
    pool('labels: {}').concat('    - address: ¦2001:db8::\n'),
    'yaml-ambiguous',
    /2001:db8:: is a key .* Quote the address/,
  ],
  [
    'an older version of YAML',
    `%YAML 1.1\n¦---\n${pool('drain: true')}`,
    'yaml-ambiguous',
    /asks for YAML 1\.1/,
  ],
  [
    'a key that stands twice',
    pool('weight: 1\n¦weight: 2'),
    'yaml-duplicate-key',
    /weight stands here for the second time/,
  ],
  ['a merge key', pool('¦<<: {weight: 1}'), 'yaml-merge-key', /Merge keys are not part of YAML 1\.2/],
  ['an anchor inside itself', pool('labels: &x {a: ¦*x}'), 'yaml-alias', /&x contains itself/],
  ['an alias of nothing', pool('labels: ¦*nothing'), 'yaml-alias', /No anchor &nothing/],
  ['a tag of a program', pool('labels: !!python/object ¦{a: b}'), 'yaml-tag', /python\/object/],
  ['a key that is a number', pool('labels: {¦1: a}'), 'yaml-key', /A key must be/],
  ['a key that is a list', pool('labels: {¦[a]: b}'), 'yaml-key', /A key must be/],
  ['a key that no object can have', pool('labels: {¦__proto__: b}'), 'yaml-key', /A key must be/],
  ['a tab', pool('¦\tweight: 1'), 'yaml-syntax', /Tabs are not allowed.* Indent with spaces/],
  ['an open quote', `${pool('labels: {}')}  more: "¦`, 'yaml-syntax', /Missing closing "quote/],
]

for (const [about, text, rule, says] of TRAPS)
  test(`${about} is refused, with its place`, () => {
    const { files, at } = readMarks({ 'pools/web.yaml': text })
    const { diagnostics, manifests } = parseManifests(files)
    const lines = diagnostics.map(each => renderDiagnostic(each))
    const line = lines.find(each => each.startsWith(`${at[0]} error ${rule}: `))
    assert.ok(line !== undefined, `${at[0]} ${rule} is not said:\n${lines.join('\n')}`)
    assert.match(line, says)
    assert.equal(manifests.length, 0)
  })

test('what YAML 1.2 reads one way only is read without a word', () => {
  const text = pool(
    'weight: 0x50\ndrain: true\nlabels: {a: "017", b: "yes", c: !!str 12, d: "1_0", e: nope, &k f: x, g: *k}',
  )
  const { diagnostics, manifests } = parseManifests([{ path: 'web.yaml', text }])
  assert.deepEqual(diagnostics, [])
  assert.deepEqual(manifests[0]?.kind === 'BackendPool' && manifests[0].spec.backends[0], {
    address: '10.0.0.1',
    weight: 80,
    drain: true,
    labels: { a: '017', b: 'yes', c: '12', d: '1_0', e: 'nope', f: 'x', g: 'f' },
  })
})

test('an anchor that is used a few times stands for its value', () => {
  const text = pool('labels: &rack {rack: r1}').concat('    - address: 10.0.0.2\n      labels: *rack\n')
  const { diagnostics, manifests } = parseManifests([{ path: 'web.yaml', text }])
  assert.deepEqual(diagnostics, [])
  assert.deepEqual(
    manifests[0]?.kind === 'BackendPool' && manifests[0].spec.backends.map(({ labels }) => labels),
    [{ rack: 'r1' }, { rack: 'r1' }],
  )
})

test('aliases that multiply are refused before they are followed', () => {
  const names = [...'abcdefghijkl']
  const levels = names.map((name, i) =>
    i === 0 ? `a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]` : `${name}: &${name} [${`*${names[i - 1]}, `.repeat(9)}]`,
  )
  const text = `apiVersion: ballast.dev/v1\nkind: Service\n${levels.join('\n')}\n`
  const { diagnostics } = parseManifests([{ path: 'bomb.yaml', text }])
  assert.deepEqual(
    diagnostics.map(({ rule }) => rule),
    ['yaml-alias'],
  )
})

test('nesting without end is refused, also where the parser runs out of stack', () => {
  for (const depth of [40, 50_000]) {
    const text = `apiVersion: ballast.dev/v1\nkind: Service\nspec: ${'['.repeat(depth)}${']'.repeat(depth)}\n`
    const { diagnostics, broken } = parseManifests([{ path: 'deep.yaml', text }])
    assert.ok(
      diagnostics.some(({ rule }) => rule === 'yaml-depth'),
      JSON.stringify(diagnostics),
    )
    assert.equal(broken.length, 1)
  }
})

test('a byte order mark is a warning, and the manifest is read', () => {
  const { diagnostics, manifests } = parseManifests([
    { path: 'web.yaml', text: `\uFEFF${pool('weight: 1')}` },
  ])
  assert.deepEqual(
    diagnostics.map(({ rule, severity }) => `${severity} ${rule}`),
    ['warning yaml-bom'],
  )
  assert.equal(manifests.length, 1)
})

test('a file that is wrong all over ends after a hundred problems', () => {
  const text = `${pool('weight: 1')}${Array.from({ length: 5000 }, (_, i) => `k${i}: 1`).join('\n')}\n`
  const { diagnostics } = parseManifests([{ path: 'web.yaml', text }])
  assert.equal(diagnostics.length, 101)
  assert.equal(diagnostics.at(-1)?.rule, 'too-many')
})
