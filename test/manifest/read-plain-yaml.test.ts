import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { readPlainYaml } from '../../reconciler/manifest/read-plain-yaml.ts'
import { composeFleet } from '../bench/sample-fleet.ts'
import { soundFleet } from './arbitrary-manifests.ts'
import { isReadAlike, YAML_PIECES } from './read-alike.ts'

test('manifests as people write them are read by the quick reader, as YAML says', () => {
  for (const [, text] of composeFleet({ services: 3, backends: 4, nodes: ['lb-1'] }))
    assert.ok(isReadAlike(text))
  const flow =
    '# of the web\nmetadata:\n  name: web\nspec:\n  ports:\n  - { port: 443, protocol: tcp }\n  vip: 2001:db8::1\n'
  assert.ok(isReadAlike(flow))
  fc.assert(
    fc.property(soundFleet, fleet => {
      for (const resource of fleet) isReadAlike(stringify(resource))
    }),
    { numRuns: 100 },
  )
})

const HEAD = 'metadata:\n  name: web\n'

test('what YAML, or only some YAML, reads otherwise is left to the parser', () => {
  const others = [
    'on: 1',
    'a: yes',
    'a: 010',
    'a: 1_000',
    'a: 12:30:45',
    'a: 1e3',
    'a: 1.5',
    'a: .5',
    'a: Null',
    'a: ~',
    'a:',
    'a: b # c',
    'a: b: c',
    'a: "b"',
    'a: *b',
    'a: [1]',
    'a: {b: {c: 1}}',
    'a: {b: 1,}',
    'a: {b:1}',
    'a: b\n   c',
    'a: 1\na: 2',
    '<<: b',
    '1: a',
    '__proto__: 1',
    'a: 9999999999999999',
    '--- b',
    '---\na: 1\n---\nb: 1',
    'a:\n- b\n  c: 1',
    'a:\n  b: 1\n c: 2',
    'a: -1',
    '- a',
    'a: ::',
    'a: 1::',
    'a: !b c',
    'a: |\n  b',
    'true: 1',
    '%YAML 1.1',
    'a: b\tc',
    'a: É',
    '? a',
  ]
  for (const other of others) {
    const text = `${HEAD}${other}\n`
    if (readPlainYaml(text) !== null) isReadAlike(text)
  }
  for (const other of [
    'on: 1',
    'a: yes',
    'a: 010',
    'a: 12:30:45',
    'a: "b"',
    'a:',
    'a: 1\na: 2',
    'a: b # c',
    'a: *b',
    'a: [1]',
    'a: 1.5',
  ])
    assert.equal(readPlainYaml(`${HEAD}${other}\n`), null, other)
  // The name of an item is nobody's.
  assert.equal(readPlainYaml('metadata:\n- name: web\n'), null)
})

test('no text is read in another way than by the parser', () => {
  const piece = fc.constantFrom(...YAML_PIECES)
  const line = fc
    .tuple(
      fc.constantFrom('', '  ', '    ', '- ', '  - ', '    - ', ' '),
      fc.constantFrom('a', 'b', 'c', 'metadata', 'name', 'n0', 'y'),
      fc.constantFrom(': ', ':', ':  ', ' : ', ': {x: ', ': - '),
      fc.oneof(fc.constant(''), piece),
    )
    .map(parts => `${parts.join('')}\n`)
  let read = 0
  fc.assert(
    fc.property(
      fc.array(fc.oneof(piece, line, line, line), { maxLength: 8 }),
      fc.boolean(),
      (pieces, first) => {
        const body = pieces.join('')
        if (isReadAlike(first ? `${HEAD}${body}` : `${body}\n${HEAD}`)) read += 1
      },
    ),
    { numRuns: 4_000 },
  )
  assert.ok(read > 200, `only ${read} texts were read at all`)
})
