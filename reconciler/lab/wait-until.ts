import { setTimeout as sleep } from 'node:timers/promises'
import { BallastError } from '../../schemas/ballast-error.ts'

export interface WaitOptions {
  /** What is waited for, to complete "waited 5000 ms for …". */
  readonly what: string
  /** ms. */
  readonly deadline: number
  readonly signal?: AbortSignal
}

const LOOK_EVERY_MS = 20

/** Looks again and again until `look` gives something, and gives that. Throws `LAB_WAIT_TIMED_OUT`, or the signal's reason. */
export async function waitUntil<T>(
  { what, deadline, signal }: WaitOptions,
  look: () => Promise<T | null> | T | null,
): Promise<T> {
  const start = performance.now()
  for (;;) {
    signal?.throwIfAborted()
    const found = await look()
    if (found !== null) return found
    if (performance.now() - start > deadline) {
      throw new BallastError({
        code: 'LAB_WAIT_TIMED_OUT',
        message: `waited ${deadline} ms for ${what}`,
        hint: 'See what the processes said above.',
        retryable: true,
      })
    }
    await sleep(LOOK_EVERY_MS)
  }
}
