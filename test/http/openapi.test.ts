import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { renderOpenApi } from '../../schemas/api/openapi.ts'
import { serveApp } from './serve-app.ts'

interface Document {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: object }>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

const text = readFileSync(resolve(import.meta.dirname, '../../docs/openapi.json'), 'utf8')

test('docs/openapi.json is what `node schemas/generate.ts` writes, and what is served', async t => {
  assert.equal(text, renderOpenApi())
  const app = await serveApp(t)
  assert.equal(await (await app.fetch('/api/v1/openapi.json')).text(), text)
})

test('it is valid OpenAPI 3.1, and what it refers to is there', async () => {
  const document = JSON.parse(text) as Document
  assert.match(document.openapi, /^3\.1\./)
  const { valid, errors } = await new Validator().validate(JSON.parse(text))
  assert.ok(valid, JSON.stringify(errors))
  for (const [, name] of text.matchAll(/"\$ref": "#\/components\/schemas\/([^"]+)"/g))
    assert.ok(name! in document.components.schemas, name)
  assert.ok(!/"\$ref": "(?!#\/components\/schemas\/)/.test(text))
})

test('it has every route that is answered, and no other', async t => {
  const app = await serveApp(t)
  const routes = app.app.routes
    .filter(({ method, path }) => method !== 'ALL' && path !== '/*')
    .map(({ method, path }) => `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  const { paths } = JSON.parse(text) as Document
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method} ${path}`),
  )
  assert.deepEqual(new Set(routes), new Set(documented))
})
