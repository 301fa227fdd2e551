import { setImmediate } from 'node:timers/promises'

/**
 * Work in slices: await it between two pieces, and the event loop gets its turn once the slice is used up. Who waits at the
 * same time as others goes on in a turn of his own.
 */
export type Breathe = () => Promise<void>

/** `slice` and `now`: ms. */
export function createBreather({ slice = 1, now = () => performance.now() } = {}): Breathe {
  let since = now()
  let last: Promise<void> | undefined
  const beginSlice = async (before: Promise<void> | undefined): Promise<void> => {
    await before
    await setImmediate()
    since = now()
  }
  return () => {
    if (now() - since < slice) return Promise.resolve()
    last = beginSlice(last)
    return last
  }
}

/** Does the steps of a generator in slices. */
export async function inSteps<T>(steps: Generator<void, T>, breathe: Breathe): Promise<T> {
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
    await breathe()
  }
}
