import { z } from 'zod'
import { Digest, Revision } from './want.ts'

export const REVIEWED_PLAN_VERSION = 1

/** A plan that somebody may have looked at, kept by its digest until it expires. */
export const ReviewedPlan = z.strictObject({
  version: z.literal(REVIEWED_PLAN_VERSION),
  digest: Digest,
  base: Revision.nullable(),
  head: Revision.nullable(),
  /** `plan`: recorded for a review; `apply`: a person asked for it by its digest. */
  by: z.enum(['plan', 'apply']),
  /** What it said on top. */
  risk: z.string(),
  /** What the digest is of, for saying what moved: `xdp service/203.0.113.10:443/tcp`. */
  parts: z.array(z.strictObject({ what: z.string(), digest: Digest })),
  /** ms since the epoch. */
  at: z.int(),
  expiresAt: z.int(),
})
export type ReviewedPlan = z.infer<typeof ReviewedPlan>
