import { setImmediate } from 'node:timers/promises'

/**
 * Work in slices: await it between two pieces, and the event loop gets its turn once the slice is used up. Who waits at the
 * same time as others goes on in a turn of his own.
 */
export type Breathe = () => Promise<void>

const SLICE_MS = 1

export function createBreather(): Breathe {
  let since = performance.now()
  let last: Promise<void> | undefined
  const beginSlice = async (before: Promise<void> | undefined): Promise<void> => {
    await before
    await setImmediate()
    since = performance.now()
  }
  return () => {
    if (performance.now() - since < SLICE_MS) return Promise.resolve()
    last = beginSlice(last)
    return last
  }
}
