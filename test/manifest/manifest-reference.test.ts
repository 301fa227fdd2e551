import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { PARSE_RULES } from '../../reconciler/manifest/parse-text.ts'
import { RULES } from '../../reconciler/manifest/rules/rules.ts'
import { renderJsonSchemas } from '../../schemas/json-schema.ts'

const root = resolve(import.meta.dirname, '../..')
const reference = readFileSync(resolve(root, 'docs/manifests.md'), 'utf8')

test('the reference lists every rule with its severity, and no other', () => {
  const listed = [...reference.matchAll(/^\| `([a-z-]+)` \| (error|warning) \|/gm)].map(
    ([, id, severity]) => `${id} ${severity}`,
  )
  const known = [
    ...PARSE_RULES.map(id => `${id} ${id === 'yaml-bom' ? 'warning' : 'error'}`),
    ...RULES.map(({ id, severity }) => `${id} ${severity}`),
  ]
  assert.deepEqual(listed.toSorted(), known.toSorted())
})

test('the reference names every field that can be written', () => {
  const schema = JSON.parse(renderJsonSchemas().get('ballast.schema.json')!)
  for (const field of fieldsOf(schema))
    assert.match(reference, new RegExp(`\`[\\w.[\\]]*\\b${field}\\b`), field)
})

function* fieldsOf(schema: unknown): Iterable<string> {
  if (typeof schema !== 'object' || schema === null) return
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') yield* Object.keys(value)
    yield* fieldsOf(value)
  }
}
