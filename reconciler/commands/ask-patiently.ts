import { setTimeout as delay } from 'node:timers/promises'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { Forge } from '../forge/forge.ts'

const TRIES = 4
const FIRST_WAIT_MS = 2_000
/** A job that waits longer costs more than one that is started again. */
const LONGEST_WAIT_MS = 120_000

/** A forge for a command, which nobody starts again: what may succeed later is tried again, and said on stderr. */
export const askPatiently = (forge: Forge): Forge => ({
  readPull: number => insist(() => forge.readPull(number)),
  putComment: (number, marker, body) => insist(() => forge.putComment(number, marker, body)),
  putStatus: (revision, status) => insist(() => forge.putStatus(revision, status)),
  openPull: pull => insist(() => forge.openPull(pull)),
})

async function insist<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof BallastError) || !error.retryable || tries === TRIES) throw error
      const wait = Math.max(FIRST_WAIT_MS * 2 ** (tries - 1), error.waitMs)
      if (wait > LONGEST_WAIT_MS) throw error
      process.stderr.write(`${error.message}; trying again in ${Math.ceil(wait / 1000)} s\n`)
      await delay(wait)
    }
  }
}
