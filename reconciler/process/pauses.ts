import { setImmediate } from 'node:timers/promises'

/** ms that a thread may be kept busy, before what waits for it runs. */
const BUSY_MS = 5

/** For long work of many small steps, between which it is asked. */
export interface Pause {
  isDue(): boolean
  /** Lets what waits for this thread run. */
  take(): Promise<void>
}

/** `now`: ms. */
export function createPause(now = () => performance.now()): Pause {
  let since = now()
  return {
    isDue: () => now() - since >= BUSY_MS,
    async take() {
      await setImmediate()
      since = now()
    },
  }
}

/** Does the steps of a generator, with pauses between them. */
export async function inSteps<T>(steps: Generator<void, T>, pause: Pause): Promise<T> {
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
    if (pause.isDue()) await pause.take()
  }
}
