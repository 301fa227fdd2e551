import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findShrunken } from '../../reconciler/controller/guards.ts'
import { buildDesired, type DesiredFleet } from '../../reconciler/desired/build-desired.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { makeFiles } from '../system/fleet.ts'

const HEAD = 'a'.repeat(40)

function makeFleet(services: Readonly<Record<string, number>>, nodes: readonly string[]): DesiredFleet {
  const shapes = Object.entries(services).map(([name, vip]) => [name, { vip, backends: [1] }])
  const files = makeFiles({ nodes, services: Object.fromEntries(shapes) })
  const { manifests, diagnostics } = parseManifests(
    Object.entries(files).map(([path, text]) => ({ path, text })),
  )
  assert.deepEqual(diagnostics, [])
  return buildDesired(manifests)
}

const nodes = ['lb-1', 'lb-2', 'lb-3', 'lb-4']
const four = { a: 1, b: 2, c: 3, d: 4 }

const cases: [string, DesiredFleet, RegExp[]][] = [
  ['half of the services may go', makeFleet({ a: 1, b: 2 }, nodes), []],
  ['more than half may not', makeFleet({ a: 1 }, nodes), [/3 of the 4 services/]],
  ['half of the nodes may go', makeFleet(four, ['lb-1', 'lb-2']), []],
  ['more than half of the nodes may not', makeFleet(four, ['lb-1']), [/3 of the 4 nodes/]],
  ['what is renamed is not gone', makeFleet({ w: 1, x: 2, y: 3, z: 4 }, nodes), []],
  ['new ones make up for none', makeFleet({ a: 1, e: 5, f: 6, g: 7, h: 8 }, nodes), [/3 of the 4 services/]],
  ['both are said', makeFleet({ e: 5 }, ['lb-9']), [/4 of the 4 services/, /4 of the 4 nodes/]],
]
for (const [title, after, messages] of cases) {
  test(`against what was accepted, ${title} (rule 10)`, () => {
    const found = findShrunken(HEAD, makeFleet(four, nodes), after)
    assert.equal(found.length, messages.length)
    for (const [index, { rule, message, hint }] of found.entries()) {
      assert.equal(rule, 'tree-shrunken')
      assert.match(message, messages[index]!)
      assert.match(hint, /ballast accept aaaaaaaaaaaa/)
    }
  })
}
