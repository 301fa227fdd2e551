import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { findRingPairs, type RingPair } from '../plan/find-ring-pairs.ts'
import { foldEdits } from '../plan/fold-edits.ts'
import type { MovedSlots } from '../plan/measure-impact.ts'
import { type Comparison, type MadePlan, preparePlan } from '../plan/plan-fleet.ts'
import { mostMovesOf } from '../plan/plan-services.ts'
import { startThreads } from '../process/threads.ts'
import { packBackends, type RingTask } from './ring-task.ts'

const THREAD = resolve(import.meta.dirname, 'ring-thread.ts')
/** To start a thread takes as long as to build tens of rings. */
const WORTH_THREADS = 100
/** At least. */
const PAIRS_AT_ONCE = 25

/**
 * `makeFleetPlan`, where the rings of a change of many services are compared on all CPUs, and nothing else of this
 * process waits for them.
 */
export async function planOnThreads(comparison: Comparison, worth = WORTH_THREADS): Promise<MadePlan> {
  const fold = foldEdits(comparison.before.nodes, comparison.after.nodes)
  const pairs = findRingPairs(fold)
  if (pairs.length < worth) return preparePlan(comparison, fold)()
  // While the threads are at work, this one is as well.
  const prepare = async () => preparePlan(comparison, fold)
  const [compared, finish] = await Promise.all([comparePairs(pairs), prepare()])
  return finish((before, after) => compared.get(before)!.get(after)!)
}

type Compared = Map<RingPair[0], Map<RingPair[1], MovedSlots>>

async function comparePairs(pairs: readonly RingPair[]): Promise<Compared> {
  const compared: Compared = new Map()
  // No plan of these changes keeps more.
  const mostMoves = mostMovesOf(pairs.length)
  await using threads = startThreads<RingTask, MovedSlots[]>(THREAD)
  const compare = async (part: readonly RingPair[]): Promise<void> => {
    const pairs = part.map(([before, after]) => [packBackends(before), packBackends(after)] as const)
    const moved = await threads.ask({ pairs, mostMoves })
    for (const [index, [before, after]] of part.entries())
      compared.set(before, (compared.get(before) ?? new Map()).set(after, moved[index]!))
  }
  await Promise.all(Array.from(partsOf(pairs), compare))
  return compared
}

/**
 * Large parts first, so that no thread waits for the next one while this one is busy; small ones last, so that all end
 * together.
 */
function* partsOf(pairs: readonly RingPair[]): Generator<readonly RingPair[]> {
  for (let at = 0; at < pairs.length; ) {
    const left = pairs.length - at
    const size = Math.max(PAIRS_AT_ONCE, Math.ceil(left / (2 * availableParallelism())))
    yield pairs.slice(at, at + size)
    at += size
  }
}
