import { ageOf } from './read-replies.ts'

/**
 * BIRD works out the times that it says from two clocks, which it does not read at once: an unchanged one moves by some
 * ms from answer to answer.
 */
const SAME_TIME_MS = 250

/** Gives a time as BIRD said it first, until it says another one. */
export function steadyTime(): (said: string) => string {
  let first = ''
  return said => {
    const age = ageOf(first, said)
    if (age === null || Math.abs(age) > SAME_TIME_MS) first = said
    return first
  }
}
