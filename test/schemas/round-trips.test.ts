import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { canonicalJson, digestOf } from '../../schemas/digest.ts'
import { arbitraryOf } from './arbitrary-of.ts'

const folder = resolve(import.meta.dirname, '../../schemas')
const files = readdirSync(folder).filter(file => file.endsWith('.ts') && file !== 'generate.ts')

/** Every schema that schemas/*.ts exports: those that cross a process or a file. */
const schemas = (
  await Promise.all(
    files.map(async file => {
      const exported: Record<string, unknown> = await import(resolve(folder, file))
      return Object.entries(exported)
        .filter((entry): entry is [string, z.ZodType] => entry[1] instanceof z.ZodType)
        .map(([name, schema]) => ({ name: `${file} ${name}`, schema }))
    }),
  )
).flat()

test('there are schemas of states, wants, reports, plans and outcomes', () => {
  const names = schemas.map(({ name }) => name)
  for (const name of [
    'node-state.ts NodeState',
    'want.ts Want',
    'report.ts NodeReport',
    'plan.ts FleetPlan',
    'edit.ts EditOutcome',
  ])
    assert.ok(names.includes(name), name)
})

for (const { name, schema } of schemas)
  test(`${name} is the same after a round trip through canonical JSON`, () => {
    fc.assert(
      fc.property(arbitraryOf(schema), value => {
        const read = schema.parse(JSON.parse(canonicalJson(value)))
        assert.deepEqual(read, value)
        assert.equal(digestOf(read), digestOf(value))
      }),
      { numRuns: 50 },
    )
  })
