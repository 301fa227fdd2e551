import { parentPort } from 'node:worker_threads'
import type { RingPair } from '../plan/find-ring-pairs.ts'
import type { MovedSlots } from '../plan/measure-impact.ts'
import { compareRings } from '../ring/compare-rings.ts'

/** A thread that compares rings: they are pure, small to ask for, and small in what comes of them. */
export interface RingTask {
  readonly pairs: readonly RingPair[]
  readonly mostMoves: number
}

parentPort!.on('message', ({ pairs, mostMoves }: RingTask) => {
  const compared = pairs.map(([before, after]): MovedSlots => {
    const { moved, minimum, moves } = compareRings(before, after)
    return { moved, minimum, moves: moves.slice(0, mostMoves) }
  })
  parentPort!.postMessage(compared)
})
