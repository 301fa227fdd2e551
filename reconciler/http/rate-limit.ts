import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'

export interface Allowance {
  readonly requests: number
  readonly seconds: number
}

export interface RateLimit {
  /** Counts a request. A number: too many, ask again after so many seconds. */
  count(source: string): Promise<number | null>
  /** Counts nothing. */
  look(source: string): Promise<number | null>
}

/** Counts by source, in windows; sources that were quiet for a window are forgotten. */
export function createRateLimit({ requests, seconds }: Allowance): RateLimit {
  const limiter = new RateLimiterMemory({ points: requests, duration: seconds })
  const waitOf = ({ msBeforeNext }: RateLimiterRes): number => Math.max(1, Math.ceil(msBeforeNext / 1000))
  return {
    async count(source) {
      try {
        await limiter.consume(source)
        return null
      } catch (refusal) {
        if (refusal instanceof RateLimiterRes) return waitOf(refusal)
        throw refusal
      }
    },
    async look(source) {
      const found = await limiter.get(source)
      return found === null || found.consumedPoints <= requests ? null : waitOf(found)
    },
  }
}
