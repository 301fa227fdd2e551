import type { Rollout } from '../../schemas/rollout.ts'
import type { Revision } from '../../schemas/want.ts'
import type { Forge } from '../forge/forge.ts'
import type { Log } from '../log/log.ts'
import type { PushRevert } from '../repo/push-revert.ts'

/** What was done about a revision that failed. */
export interface Reverted {
  /** The branch that was pushed; '': it had moved on, and nothing was to be done. */
  readonly branch: string
  /** Where the commit is reviewed; null: nowhere. */
  readonly pull: string | null
}

export interface Revert {
  /** Begins to push where it is due; gives what was done since, once. */
  next(rollout: Rollout, branch: string): Reverted | null
  /** Settles when none is under way. */
  stop(): Promise<void>
}

export interface RevertOptions {
  readonly push: PushRevert
  /** Opens a pull request of what is pushed for a review; null: no forge is known. */
  readonly openPull: Forge['openPull'] | null
  readonly log: Log
  readonly onDone: () => void
  /** ms until what failed is tried again. */
  readonly retryMs?: number
}

const RETRY_MS = 30_000

export function createRevert({ push, openPull, log, onDone, retryMs = RETRY_MS }: RevertOptions): Revert {
  let underWay: Promise<void> | null = null
  let done: (Reverted & { target: Revision }) | null = null
  let retry: NodeJS.Timeout | null = null

  async function run({ target, base, failure, onFailure }: Rollout, branch: string): Promise<void> {
    try {
      const { gate, message, at } = failure!
      const why = `The gate "${gate}" has closed: ${message}.`
      const forReview = onFailure === 'review'
      const pushed = await push({ branch, target, base: base!, why, at, forReview })
      if (pushed === null)
        log.info({ revision: target, branch }, 'the branch has moved on: nothing is reverted')
      else
        log.warn(
          { revision: target, branch: pushed.branch },
          'a commit was pushed that takes the revision back',
        )
      const pull =
        pushed === null || !forReview || openPull === null
          ? null
          : (await openPull({ from: pushed.branch, into: branch, title: pushed.subject, body: pushed.body }))
              .url
      if (pull !== null) log.warn({ revision: target, pull }, 'a pull request takes the revision back')
      done = { target, branch: pushed?.branch ?? '', pull }
      onDone()
    } catch (error) {
      log.error({ err: error, revision: target }, 'the revision could not be taken back; trying again')
      retry = setTimeout(() => {
        retry = null
        onDone()
      }, retryMs)
    }
  }

  return {
    next(rollout, branch) {
      const { state, onFailure, reverted, base, target } = rollout
      if (state !== 'failed' || onFailure === 'stop' || reverted !== null || base === null) return null
      if (done?.target === target) {
        const { branch: to, pull } = done
        done = null
        return { branch: to, pull }
      }
      if (underWay !== null || retry !== null) return null
      underWay = run(rollout, branch).finally(() => {
        underWay = null
      })
      return null
    },
    async stop() {
      if (retry !== null) clearTimeout(retry)
      await underWay
    },
  }
}
