import { setImmediate } from 'node:timers/promises'

/**
 * Work in slices: await it between two pieces, and the event loop gets its turn once the slice is used up.
 */
export type Breathe = () => Promise<void>

const SLICE_MS = 1

export function createBreather(): Breathe {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < SLICE_MS) return
    await setImmediate()
    since = performance.now()
  }
}
