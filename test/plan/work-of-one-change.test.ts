import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDesired } from '../../reconciler/desired/build-desired.ts'
import { partsOf } from '../../reconciler/desired/share-rows.ts'
import { createManifestCache, type ManifestCache } from '../../reconciler/manifest/manifest-cache.ts'
import { parseManifests } from '../../reconciler/manifest/parse-manifests.ts'
import { foldEdits } from '../../reconciler/plan/fold-edits.ts'
import { measureImpact } from '../../reconciler/plan/measure-impact.ts'
import { compareRings } from '../../reconciler/ring/compare-rings.ts'
import type { RowBackend } from '../../schemas/node-state.ts'
import { composeFleet, composeService, serviceFile } from '../bench/sample-fleet.ts'

/** What a change of one service costs is counted here, since a machine's time says little of it. */

const SIZE = { services: 40, backends: 3, nodes: ['lb-1', 'lb-2', 'lb-3'] }
const CHANGED = 7

test('when one service of many changes, one file is parsed, one row is made, and nodes that are alike are compared once', () => {
  const { cache, parsed } = countParsed()
  const files = new Map(composeFleet(SIZE))
  const before = desiredOf(files, cache)
  assert.equal(parsed.length, files.size)

  parsed.length = 0
  const after = desiredOf(
    new Map([...files, [serviceFile(CHANGED), composeService(CHANGED, SIZE.backends, 50)]]),
    cache,
  )
  assert.deepEqual(parsed, [idOf(composeService(CHANGED, SIZE.backends, 50))])

  const made = SIZE.nodes.map(node => {
    const [was, is] = [before.get(node)!.xdp, after.get(node)!.xdp]
    return partsOf(is)!.shared.keys.filter(key => is[key] !== was[key])
  })
  assert.deepEqual(made, Array(SIZE.nodes.length).fill([`service/198.18.0.${CHANGED}:443/tcp`]))

  const fold = foldEdits(before, after)
  assert.equal(fold.classes.length, 1)
  assert.deepEqual(
    fold.edits.map(({ edit, nodes }) => [edit.op, edit.key, nodes]),
    [['update', `service/198.18.0.${CHANGED}:443/tcp`, SIZE.nodes]],
  )
})

test('the effect of a change compares rings when shares change, and none when they do not', () => {
  const backends = (weight: number): RowBackend[] => [
    { address: '10.0.1.1', weight },
    { address: '10.0.1.2', weight: 100 },
  ]
  const even = backends(100)
  const cases: readonly [before: RowBackend[], after: RowBackend[], comparisons: number][] = [
    [even, even, 0],
    [even, backends(100), 0],
    [[], even, 0],
    [even, backends(50), 1],
  ]
  for (const [before, after, comparisons] of cases) {
    let compared = 0
    measureImpact({ before, after, mostMoves: 10 }, (was, is) => {
      compared++
      return compareRings(was, is)
    })
    assert.equal(compared, comparisons)
  }
})

/** A cache that notes what it did not know. */
function countParsed(): { cache: ManifestCache; parsed: string[] } {
  const cache = createManifestCache()
  const parsed: string[] = []
  return {
    parsed,
    cache: {
      ...cache,
      set(id, text) {
        parsed.push(id)
        cache.set(id, text)
      },
    },
  }
}

function desiredOf(files: ReadonlyMap<string, string>, cache: ManifestCache) {
  const { manifests } = parseManifests(
    Array.from(files, ([path, text]) => ({ path, text, id: idOf(text) })),
    { cache },
  )
  const { nodes } = buildDesired(manifests)
  return new Map(Array.from(nodes, ([name, { state }]) => [name, state.tables]))
}

/** As ids of blobs: equal ids, equal texts. */
const idOf = (text: string): string => text
