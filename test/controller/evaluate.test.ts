import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TimePhase } from '../../reconciler/controller/controller-event.ts'
import { createEvaluator } from '../../reconciler/controller/evaluate.ts'
import { createBreather, inSteps } from '../../reconciler/process/breather.ts'
import { openRepository } from '../../reconciler/repo/repository.ts'
import { composeFleet } from '../bench/sample-fleet.ts'
import { createSampleRepository } from '../bench/sample-repository.ts'
import { temporaryFolder } from '../repo/make-repository.ts'

/** How often others could run while some work was done. */
async function countTurns(work: () => Promise<unknown>): Promise<number> {
  let turns = 0
  let next: NodeJS.Immediate
  const turn = (): void => {
    turns++
    next = setImmediate(turn)
  }
  next = setImmediate(turn)
  try {
    await work()
  } finally {
    clearImmediate(next)
  }
  return turns
}

test('others run between the steps of long work, and a quick one is not put off', async () => {
  let now = 0
  function* steps(count: number, ms: number): Generator<void, string> {
    for (let step = 0; step < count; step++, now += ms) yield
    return 'done'
  }
  const doSteps = (count: number, ms: number) =>
    inSteps(steps(count, ms), createBreather({ slice: 5, now: () => now }))
  // Nothing was done before the first one.
  assert.equal(await countTurns(() => doSteps(5, 6)), 4)
  assert.equal(await countTurns(() => doSteps(6, 2)), 1)
  assert.equal(await countTurns(() => doSteps(100, 0)), 0)
  assert.equal(await doSteps(0, 0), 'done')
})

test('while a revision is parsed and checked, others run', async t => {
  const repository = await createSampleRepository(temporaryFolder(t))
  const revision = await repository.commit(composeFleet({ services: 500, backends: 20, nodes: ['lb-1'] }))
  await repository.push()
  const opened = await openRepository({ dir: repository.dir })
  let turns = 0
  const time: TimePhase = async (phase, work) => {
    let result: Awaited<ReturnType<typeof work>> | undefined
    const counted = await countTurns(async () => {
      result = await work()
    })
    if (phase === 'parse') turns += counted
    return result!
  }
  const { fleet } = await createEvaluator(opened, '', time)(revision)
  assert.equal(fleet?.nodes.size, 1)
  assert.ok(turns > 1, `${turns} turns`)
})
