import { z } from 'zod'
import { DriftPolicy } from './drift-policy.ts'

/** SHA-256 in lower-case hex. */
export const Digest = z.string().regex(/^[0-9a-f]{64}$/)
export type Digest = z.infer<typeof Digest>

/** A Git commit id. */
export const Revision = z.string().regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/)
export type Revision = z.infer<typeof Revision>

/** How long what goes may take, seconds. */
export const Handover = z.strictObject({
  /** A route asks routers to prefer others (RFC 8326) for so long before it is withdrawn. */
  shutdownTime: z.int().min(0),
  /** Connections of what is drained may live on for so long. */
  drainTimeout: z.int().min(0),
})
export type Handover = z.infer<typeof Handover>

export const WANT_VERSION = 1

/**
 * What a node should be: a pointer into the content-addressed state. `generation` only grows, also over a
 * lost Redis: max(last, highest in any report, wall-clock ms) + 1. The newest wins.
 */
export const Want = z.strictObject({
  version: z.literal(WANT_VERSION),
  node: z.string().min(1),
  generation: z.int().min(1),
  revision: Revision,
  stateDigest: Digest,
  /** What the node does on its own about drift: `repair` it at once, or `hold`: report it only. */
  drift: z.enum(['repair', 'hold']),
  /** Where rows or kinds differ in that; it comes before `drift`. */
  driftPolicy: DriftPolicy.exactOptional(),
  /** Absent: nothing is waited for. */
  handover: Handover.exactOptional(),
  /** When it was published, ms since the epoch. */
  at: z.int(),
})
export type Want = z.infer<typeof Want>
