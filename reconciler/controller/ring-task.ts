import type { MovedSlots } from '../plan/measure-impact.ts'
import { compareRings } from '../ring/compare-rings.ts'
import type { RingBackend } from '../ring/maglev.ts'

/** Rings to be compared by a thread: they are pure, small to ask for, and small in what comes of them. */
export interface RingTask {
  readonly pairs: readonly (readonly [before: PackedBackends, after: PackedBackends])[]
  /** Of each. */
  readonly mostMoves: number
}

/** Two values in place of two for each backend, since what is sent to a thread is copied value by value. */
interface PackedBackends {
  /** With a space between them. */
  readonly addresses: string
  readonly weights: readonly number[]
}

export const packBackends = (backends: readonly RingBackend[]): PackedBackends => ({
  addresses: backends.map(({ address }) => address).join(' '),
  weights: backends.map(({ weight }) => weight),
})

const unpack = ({ addresses, weights }: PackedBackends): RingBackend[] => {
  const names = addresses.split(' ')
  return weights.map((weight, index) => ({ address: names[index]!, weight }))
}

export const doRingTask = ({ pairs, mostMoves }: RingTask): MovedSlots[] =>
  pairs.map(([before, after]) => {
    const { moved, minimum, moves } = compareRings(unpack(before), unpack(after), mostMoves)
    return { moved, minimum, moves }
  })
