import assert from 'node:assert/strict'
import { findYamlProblems } from '../../reconciler/manifest/find-yaml-problems.ts'
import type { ValuePath } from '../../reconciler/manifest/manifest.ts'
import { locateInPlainYaml, readPlainYaml } from '../../reconciler/manifest/read-plain-yaml.ts'
import { offsetOf, readYaml } from '../../reconciler/manifest/read-yaml.ts'

/** Whatever the quick reader reads, the YAML parser must read alike, and find nothing to say about. False: it leaves it to the parser. */
export function isReadAlike(text: string): boolean {
  const plain = readPlainYaml(text)
  if (plain === null) return false
  const yaml = readYaml(text)
  const [document] = yaml.documents
  assert.ok(document !== undefined && yaml.documents.length === 1, text)
  assert.deepEqual(findYamlProblems(document), [], text)
  assert.deepEqual(plain.value, document.toJS({ maxAliasCount: -1 }), text)
  const locate = locateInPlainYaml(text)!
  for (const path of pathsOf(plain.value))
    assert.deepEqual(locate(path), yaml.spotOf(offsetOf(document, path)), `${path.join('.')} in ${text}`)
  assert.deepEqual(plain.name, yaml.spotOf(offsetOf(document, ['metadata', 'name'])), text)
  return true
}

/** Of everything in it, itself as well, and of something in each that is not. */
function* pathsOf(value: unknown, path: ValuePath = []): Generator<ValuePath> {
  yield path
  yield [...path, 'none']
  if (typeof value !== 'object' || value === null) return
  for (const [key, inside] of Object.entries(value))
    yield* pathsOf(inside, [...path, Array.isArray(value) ? Number(key) : key])
}

/** Signs and words of which YAML makes something. */
export const YAML_PIECES = [
  '\n',
  '\n',
  '\n  ',
  '\n  ',
  '\n    ',
  '- ',
  '-',
  ': ',
  ': ',
  ':',
  '{ ',
  ' }',
  ', ',
  '{',
  '}',
  '[',
  ']',
  '#',
  ' #',
  '? ',
  '---',
  '...',
  ' ',
  'a',
  'b',
  'key',
  'metadata',
  'name',
  'on',
  'no',
  'true',
  'null',
  '1',
  '443',
  '0',
  '07',
  '1.5',
  '1e3',
  '.',
  '10.0.0.1',
  '10.0.0.1/8',
  'fd00::1',
  '::1',
  '1:20',
  '1:20:30',
  '::',
  'a/b',
  'a.b',
  '0x1',
  '~',
  '<<',
  '=',
  '@',
  '(',
  '`',
  '%',
]
