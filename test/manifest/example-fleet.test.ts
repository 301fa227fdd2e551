import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { diagnose } from './marked-files.ts'

const root = resolve(import.meta.dirname, '../..')
const files = readdirSync(join(root, 'manifests'), { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.yaml'))
  .map(path => ({ path: join('manifests', path), text: readFileSync(join(root, 'manifests', path), 'utf8') }))

test('the example fleet has nothing wrong but a key made from its name', () => {
  assert.ok(files.length > 5)
  assert.deepEqual(
    diagnose(files).map(line => line.split(': ')[0]),
    ['manifests/fleet.yaml:5:9 warning fleet-key'],
  )
})

test('every example names the JSON Schema of its kind, and meets it', () => {
  for (const { path, text } of files) {
    const [, named = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? []
    const schema = JSON.parse(readFileSync(join(root, dirname(path), named), 'utf8'))
    const document = parse(text)
    assert.equal(schema.properties.kind.const, document.kind, path)
    assert.equal(basename(named), `${document.kind.replace(/(?<=.)[A-Z]/g, '-$&').toLowerCase()}.schema.json`)
    z.fromJSONSchema(schema).parse(document)
  }
})
