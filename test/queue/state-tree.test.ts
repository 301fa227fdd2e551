import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { stepAssembly } from '../../reconciler/queue/assemble-state.ts'
import { packChange } from '../../reconciler/queue/pack-change.ts'
import {
  type Blob,
  blobChildren,
  changeState,
  collectTexts,
  createTreeMemo,
  stateDigest,
  stateTree,
} from '../../reconciler/queue/state-tree.ts'
import { sha256 } from '../../schemas/digest.ts'
import { arbitraryState, fleetState, turned, twoStates } from './states.ts'

function* eachBlob(tree: Blob): Generator<Blob> {
  yield tree
  for (const child of tree.children) yield* eachBlob(child)
}

const newTexts = (before: Blob, after: Blob): number => {
  const known = collectTexts(before)
  return [...collectTexts(after).keys()].filter(digest => !known.has(digest)).length
}

suite('the tree of a state', () => {
  test('put together again is the state', () => {
    fc.assert(
      fc.property(arbitraryState, state => {
        const tree = stateTree(state)
        const steps = stepAssembly(tree.digest, { texts: collectTexts(tree) })
        let step = steps.next()
        while (step.done !== true) step = steps.next()
        assert.deepEqual(step.value, state)
      }),
    )
  })

  test('has each part under the digest of its text, pointing at what is below it', () => {
    fc.assert(
      fc.property(arbitraryState, state => {
        for (const { kind, digest, text, children } of eachBlob(stateTree(state))) {
          assert.equal(sha256(text), digest)
          const refs = children.map(child => `${child.kind} ${child.digest}`)
          assert.deepEqual(
            blobChildren(kind, text)
              .map(ref => `${ref.kind} ${ref.digest}`)
              .sort(),
            refs.sort(),
          )
        }
      }),
    )
  })

  test('has a digest that says whether two states are the same, in whatever order they were written', () => {
    fc.assert(
      fc.property(twoStates, ([one, other]) => {
        assert.equal(stateDigest(one), stateDigest(turned(one)))
        assert.equal(stateDigest(one) === stateDigest(other), isDeepStrictEqual(one, other))
      }),
    )
  })

  test('does not depend on what was remembered of other states', () => {
    fc.assert(
      fc.property(twoStates, ([one, other]) => {
        const memo = createTreeMemo()
        stateTree(other, memo)
        assert.equal(stateTree(one, memo, other).digest, stateDigest(one))
        const before = { ...one, tables: other.tables }
        stateTree(before, memo)
        const after = { ...one }
        assert.equal(stateTree(after, memo, before).digest, stateDigest(one))
        const packed = packChange(memo.changes.get(after)!)!
        assert.deepEqual(changeState(before, { packed, digest: stateDigest(one) }, memo), one)
        assert.equal(changeState(before, { packed, digest: '0'.repeat(64) }, memo), null)
        const elsewhere = changeState(other, { packed, digest: stateDigest(one) }, memo)
        assert.ok(elsewhere === null || isDeepStrictEqual(elsewhere, one), 'whatever state it is applied to')
      }),
    )
  })

  test('gets five new parts when one of a thousand services changes, whichever it is', () => {
    const before = stateTree(fleetState('lb1', 1000))
    fc.assert(
      fc.property(fc.nat(999), fc.integer({ min: 1, max: 99 }), (index, weight) => {
        assert.equal(newTexts(before, stateTree(fleetState('lb1', 1000, { [index]: weight }))), 5)
      }),
      { numRuns: 10 },
    )
  })

  test('is told in few bytes to who has the state before', () => {
    const memo = createTreeMemo()
    const [before, after] = [fleetState('lb1', 1000), fleetState('lb1', 1000, { 7: 3 })]
    stateTree(before, memo)
    const { digest } = stateTree(after, memo, before)
    const packed = packChange(memo.changes.get(after)!)!
    assert.deepEqual(packed.rows, ['xdp service/203.0.0.7:80/tcp'])
    assert.ok(packed.packed.length < 200, packed.packed)
    assert.deepEqual(changeState(structuredClone(before), { packed, digest }, createTreeMemo()), after)
  })

  test('is all but the root, and the rows of its own, that of any node with the same services', () => {
    const before = stateTree(fleetState('lb1', 1000))
    assert.equal(newTexts(before, stateTree(fleetState('lb2', 1000))), 2, 'root and interface')
    assert.ok(Buffer.byteLength(before.text) < 1000, 'the root stays small')
  })
})
