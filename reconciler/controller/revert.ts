import type { Rollout } from '../../schemas/rollout.ts'
import type { Revision } from '../../schemas/want.ts'
import type { Log } from '../log/log.ts'
import type { PushRevert } from '../repo/push-revert.ts'

export interface Revert {
  /** Begins to push where it is due; gives what was pushed since, once: a branch, or '' where nothing was to be done. */
  next(rollout: Rollout, branch: string): string | null
  /** Settles when none is under way. */
  stop(): Promise<void>
}

export interface RevertOptions {
  readonly push: PushRevert
  readonly log: Log
  readonly onDone: () => void
}

/** A push that failed is not tried again at once, ms. */
const RETRY_MS = 30_000

export function createRevert({ push, log, onDone }: RevertOptions): Revert {
  let underWay: Promise<void> | null = null
  let pushed: { target: Revision; branch: string } | null = null
  let notBefore = 0

  async function run({ target, base, failure, onFailure }: Rollout, branch: string): Promise<void> {
    try {
      const { gate, message, at } = failure!
      const why = `The gate "${gate}" has closed: ${message}.`
      const forReview = onFailure === 'review'
      const to = await push({ branch, target, base: base!, why, at, forReview })
      pushed = { target, branch: to ?? '' }
      if (to === null) log.info({ revision: target, branch }, 'the branch has moved on: nothing is reverted')
      else log.warn({ revision: target, branch: to }, 'a commit was pushed that takes the revision back')
      onDone()
    } catch (error) {
      notBefore = performance.now() + RETRY_MS
      log.error({ err: error, revision: target }, 'the revision could not be taken back; trying again')
    }
  }

  return {
    next(rollout, branch) {
      const { state, onFailure, reverted, base, target } = rollout
      if (state !== 'failed' || onFailure === 'stop' || reverted !== null || base === null) return null
      if (pushed?.target === target) {
        const { branch: to } = pushed
        pushed = null
        return to
      }
      if (underWay !== null || performance.now() < notBefore) return null
      underWay = run(rollout, branch).finally(() => {
        underWay = null
      })
      return null
    },
    async stop() {
      await underWay
    },
  }
}
