import assert from 'node:assert/strict'
import { findYamlProblems } from '../../reconciler/manifest/find-yaml-problems.ts'
import { readPlainYaml } from '../../reconciler/manifest/read-plain-yaml.ts'
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
  assert.deepEqual(plain.name, yaml.spotOf(offsetOf(document, ['metadata', 'name'])), text)
  return true
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
