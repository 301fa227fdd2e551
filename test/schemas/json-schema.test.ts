import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { renderJsonSchemas } from '../../schemas/json-schema.ts'
import { Resource } from '../../schemas/manifest/resource.ts'
import { anyResource } from '../manifest/arbitrary-manifests.ts'

const folder = resolve(import.meta.dirname, '../../schemas/json')
const schemas = renderJsonSchemas()

test('the JSON Schemas in the repository are what `node schemas/generate.ts` writes', () => {
  assert.deepEqual(readdirSync(folder).toSorted(), [...schemas.keys()].toSorted())
  for (const [name, text] of schemas) assert.equal(readFileSync(resolve(folder, name), 'utf8'), text, name)
})

test('an editor takes every manifest that Ballast takes', () => {
  const schema = z.fromJSONSchema(JSON.parse(schemas.get('ballast.schema.json')!))
  fc.assert(
    fc.property(anyResource, resource => {
      assert.ok(Resource.safeParse(resource).success)
      const read = schema.safeParse(resource)
      assert.ok(read.success, JSON.stringify(read.error?.issues))
    }),
  )
})

test('an editor refuses unknown keys, missing ones and wrong kinds of values', () => {
  const schema = z.fromJSONSchema(JSON.parse(schemas.get('backend-pool.schema.json')!))
  const pool = (backend: unknown) => ({
    apiVersion: 'ballast.dev/v1',
    kind: 'BackendPool',
    metadata: { name: 'web' },
    spec: { backends: [backend] },
  })
  assert.ok(schema.safeParse(pool({ address: '10.0.0.1' })).success)
  for (const backend of [
    {},
    { address: 'nowhere' },
    { address: '10.0.0.1', wieght: 1 },
    { address: '10.0.0.1', weight: '1' },
  ])
    assert.ok(!schema.safeParse(pool(backend)).success, JSON.stringify(backend))
})

test('every field says what it is', () => {
  const undescribed: string[] = []
  const look = (
    schema: { properties?: object; items?: object; anyOf?: object[]; oneOf?: object[] },
    path: string,
  ) => {
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      if (!('description' in field) && name !== 'spec') undescribed.push(`${path}.${name}`)
      look(field, `${path}.${name}`)
    }
    for (const inner of [schema.items ?? [], schema.anyOf ?? [], schema.oneOf ?? []].flat()) look(inner, path)
  }
  for (const [name, text] of schemas) look(JSON.parse(text), name)
  assert.deepEqual(undescribed, [])
})
