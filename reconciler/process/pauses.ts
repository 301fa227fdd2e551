import { setImmediate } from 'node:timers/promises'

/** Lets what waits for this thread run, when it has been kept busy for long; else returns at once. */
export type Pause = () => Promise<void>

/** ms. */
const BUSY_MS = 5

/** For long work of many small steps, between which it is called. */
export function createPause(): Pause {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < BUSY_MS) return
    await setImmediate()
    since = performance.now()
  }
}

/** Does the steps of a generator, with pauses between them. */
export async function inSteps<T>(steps: Generator<void, T>, pause: Pause): Promise<T> {
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value as T
    await pause()
  }
}
