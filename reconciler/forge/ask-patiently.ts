import { setTimeout as delay } from 'node:timers/promises'
import pRetry from 'p-retry'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { Forge } from './forge.ts'

const RETRIES = { retries: 3, minTimeout: 2_000, factor: 2 }
/** A job that waits longer costs more than one that is started again. */
const LONGEST_WAIT_MS = 120_000

/** A forge for a command, which nobody starts again: what may succeed later is tried again, and `say` is told so. */
export function askPatiently(forge: Forge, say: (text: string) => void): Forge {
  const insist = <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
    pRetry(ask, {
      ...RETRIES,
      shouldRetry: ({ error }) => isWorthIt(error),
      async onFailedAttempt({ error, retriesLeft, retryDelay }) {
        if (retriesLeft === 0 || !isWorthIt(error)) return
        const wait = Math.max(error.waitMs, retryDelay)
        say(`${error.message}; trying again in ${Math.ceil(wait / 1000)} s`)
        // What is left of it is p-retry's.
        await delay(wait - retryDelay)
      },
    })
  return {
    readPull: number => insist(() => forge.readPull(number)),
    putComment: (number, marker, body) => insist(() => forge.putComment(number, marker, body)),
    putStatus: (revision, status) => insist(() => forge.putStatus(revision, status)),
    openPull: pull => insist(() => forge.openPull(pull)),
  }
}

const isWorthIt = (error: Error): error is BallastError =>
  error instanceof BallastError && error.retryable && error.waitMs <= LONGEST_WAIT_MS
