import { z } from 'zod'
import { Revision } from './want.ts'

/** What is held: the fleet, a node, or a service on all nodes. */
export const HoldScope = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('fleet') }),
  z.strictObject({ kind: z.literal('node'), name: z.string().min(1) }),
  z.strictObject({ kind: z.literal('service'), name: z.string().min(1) }),
])
export type HoldScope = z.infer<typeof HoldScope>

/** Somebody decided that this stays, or is, at a revision, whatever the branch says. */
export const Hold = z.strictObject({
  scope: HoldScope,
  /** Null, of the fleet alone: as it is; no revision is taken, and no wave opens. */
  revision: Revision.nullable(),
  reason: z.string(),
  by: z.string(),
  at: z.int(),
})
export type Hold = z.infer<typeof Hold>

const HOLDS_VERSION = 1

/** All holds, kept by the reconciler on disk as in Redis: of two copies the one with the higher number is right. */
export const Holds = z.strictObject({
  version: z.literal(HOLDS_VERSION),
  sequence: z.int().min(0),
  holds: z.array(Hold),
})
export type Holds = z.infer<typeof Holds>

/** The number only grows, also when what was known is lost: it is the clock, ms, or one more than the last. */
export const nextHolds = (holds: Holds['holds'], known: Holds | null, now: number): Holds => ({
  version: HOLDS_VERSION,
  sequence: Math.max(now, (known?.sequence ?? 0) + 1),
  holds,
})

export const isSameScope = (a: HoldScope, b: HoldScope): boolean =>
  a.kind === b.kind && (a.kind === 'fleet' || (b.kind !== 'fleet' && a.name === b.name))

/** `the fleet`, `node lb-1`, `service web` */
export const nameScope = (scope: HoldScope): string =>
  scope.kind === 'fleet' ? 'the fleet' : `${scope.kind} ${scope.name}`
