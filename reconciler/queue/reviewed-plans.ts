import { ReviewedPlan } from '../../schemas/reviewed-plan.ts'
import type { Digest } from '../../schemas/want.ts'
import { answersOf, type RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { PLANS_KEY, planKey } from './keys.ts'

/** Plans that were reviewed, by digest, for as long as they hold. */
export interface ReviewedPlans {
  put(plan: ReviewedPlan): Promise<void>
  /** Null: there is none, or it has expired. Throws `QUEUE_VALUE_UNREADABLE`. */
  read(digest: Digest): Promise<ReviewedPlan | null>
  /** The latest, newest first, at most 100. One that cannot be read is left out, and the log says so. */
  readLatest(): Promise<ReviewedPlan[]>
}

const LATEST = 100

/** `now`: ms since the epoch. */
export function createReviewedPlans(connection: RedisConnection, now: () => number): ReviewedPlans {
  return {
    async put(plan) {
      const text = JSON.stringify(ReviewedPlan.parse(plan))
      await connection.call(redis =>
        answersOf(
          redis
            .multi()
            .set(planKey(plan.digest), text, 'PX', Math.max(1, plan.expiresAt - now()))
            .zadd(PLANS_KEY, plan.at, plan.digest)
            .zremrangebyrank(PLANS_KEY, 0, -LATEST - 1),
        ),
      )
    },
    async read(digest) {
      const text = await connection.call(redis => redis.get(planKey(digest)))
      const plan = text === null ? null : decode(ReviewedPlan, planKey(digest), text)
      return plan !== null && plan.expiresAt > now() ? plan : null
    },
    async readLatest() {
      const texts = await connection.call(async redis => {
        const digests = await redis.zrevrange(PLANS_KEY, 0, -1)
        return digests.length === 0 ? [] : await redis.mget(digests.map(planKey))
      })
      return texts.flatMap(text => {
        if (text === null) return []
        try {
          const plan = decode(ReviewedPlan, PLANS_KEY, text)
          return plan.expiresAt > now() ? [plan] : []
        } catch (error) {
          connection.log.warn({ err: error }, 'a reviewed plan cannot be read')
          return []
        }
      })
    },
  }
}
