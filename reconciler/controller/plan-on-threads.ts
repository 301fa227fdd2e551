import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { findRingPairs, type RingPair } from '../plan/find-ring-pairs.ts'
import { foldEdits } from '../plan/fold-edits.ts'
import type { MovedSlots } from '../plan/measure-impact.ts'
import { type Comparison, type MadePlan, makeFleetPlan } from '../plan/plan-fleet.ts'
import { mostMovesOf } from '../plan/plan-services.ts'
import type { RingTask } from './ring-thread.ts'

const THREAD = resolve(import.meta.dirname, 'ring-thread.ts')
/** To start a thread takes as long as to build tens of rings. */
const WORTH_THREADS = 100
const PAIRS_AT_ONCE = 25

/**
 * `makeFleetPlan`, where the rings of a change of many services are compared on all CPUs, and nothing else of this
 * process waits for them.
 */
export async function planOnThreads(comparison: Comparison, worth = WORTH_THREADS): Promise<MadePlan> {
  const fold = foldEdits(comparison.before.nodes, comparison.after.nodes)
  const pairs = findRingPairs(fold)
  if (pairs.length < worth) return makeFleetPlan({ ...comparison, fold })
  const compared = await comparePairs(pairs)
  return makeFleetPlan({
    ...comparison,
    fold,
    compareRings: (before, after) => compared.get(before)!.get(after)!,
  })
}

type Compared = Map<RingPair[0], Map<RingPair[1], MovedSlots>>

async function comparePairs(pairs: readonly RingPair[]): Promise<Compared> {
  const compared: Compared = new Map()
  // No plan of these changes keeps more.
  const mostMoves = mostMovesOf(pairs.length)
  const parts = partsOf(pairs)
  const work = async (): Promise<void> => {
    const thread = new Worker(THREAD)
    try {
      // Whoever is free takes the next. When one fails, nothing is left for the others.
      for (const part of parts) {
        thread.postMessage({ pairs: part, mostMoves } satisfies RingTask)
        const [moved] = (await once(thread, 'message')) as [MovedSlots[]]
        for (const [index, [before, after]] of part.entries())
          compared.set(before, (compared.get(before) ?? new Map()).set(after, moved[index]!))
      }
    } finally {
      await thread.terminate()
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  return compared
}

function* partsOf(pairs: readonly RingPair[]): Generator<readonly RingPair[]> {
  for (let at = 0; at < pairs.length; at += PAIRS_AT_ONCE) yield pairs.slice(at, at + PAIRS_AT_ONCE)
}
