import { z } from 'zod'
import { DriftKind } from './drift-kind.ts'
import { Pause } from './drift-policy.ts'
import { EditFailure } from './edit.ts'
import { DriverName, RowKey } from './node-state.ts'
import { TrafficCounts } from './traffic-counts.ts'
import { Digest, Revision } from './want.ts'

/**
 * What came of a want.
 * - `applied`: read back and equal. - `pending`: applied but for steps that wait for a condition (a drain).
 * - `superseded`: a newer generation came. - `refused`: not newer than what the node has, or not for it.
 * - `held`: differs, and the policy says to report only. - `failed`: see `failures`.
 */
export const Outcome = z.enum(['applied', 'pending', 'superseded', 'refused', 'held', 'failed'])
export type Outcome = z.infer<typeof Outcome>

/** How drift ended: the node repaired it, a newer want asks for something else, or somebody else put it right. */
export const HealedBy = z.enum(['repair', 'want', 'others'])
export type HealedBy = z.infer<typeof HealedBy>

/** A row that is not as wanted. Rows are JSON text here, so that a report outlives a change of a row's shape. */
export const DriftItem = z.strictObject({
  driver: DriverName,
  key: RowKey,
  kind: DriftKind,
  desired: z.json().nullable(),
  observed: z.json().nullable(),
  /** When first seen, ms since the epoch. */
  since: z.int(),
  /** When seen to be gone again, ms since the epoch; null: still there. */
  healedAt: z.int().nullable(),
  /** Of what has healed. */
  healedBy: HealedBy.exactOptional(),
  /** Of what has healed: when it was there before, newest first. */
  earlier: z
    .array(z.strictObject({ since: z.int(), healedAt: z.int(), healedBy: HealedBy.exactOptional() }))
    .exactOptional(),
  /** Why the node leaves it: its policy, a pause, or somebody who changes it back again and again. Absent: it is repaired. */
  held: z.enum(['policy', 'pause', 'fight']).exactOptional(),
  /** Who else writes there, as far as it is known. */
  writer: z.string().exactOptional(),
})
export type DriftItem = z.infer<typeof DriftItem>

/** What a driver knows beside its rows: plain numbers and words for status and metrics. Never compared. */
export const Facts = z.record(z.string(), z.json())
export type Facts = z.infer<typeof Facts>

export const REPORT_VERSION = 1

export const NodeReport = z.strictObject({
  version: z.literal(REPORT_VERSION),
  node: z.string().min(1),
  /** When it was made, ms since the epoch. */
  at: z.int(),
  /** The process that made it; a restart is a new number. */
  worker: z.strictObject({ pid: z.int(), startedAt: z.int(), version: z.string() }),
  /** Of the want that the node works on; null before its first. */
  want: z.strictObject({ generation: z.int(), revision: Revision, stateDigest: Digest }).nullable(),
  outcome: Outcome.nullable(),
  /** When the outcome was reached, ms since the epoch. */
  outcomeAt: z.int().nullable(),
  /** Changes made for this want. */
  edits: z.strictObject({ create: z.int(), update: z.int(), delete: z.int() }),
  failures: z.array(EditFailure),
  /** What waits for a condition, in words. */
  pending: z.array(z.string()),
  /**
   * Open drift, and what healed in the last hour, newest first: of each row and kind one item, whose rows are left out but for the
   * 100 newest; at most 10,000 items.
   */
  drift: z.array(DriftItem),
  /** Digest of everything observed; of the tables of the drivers, in canonical JSON. */
  observedDigest: Digest,
  /** Digest of the rings: equal on nodes that would choose the same backends. */
  ringsDigest: Digest.nullable(),
  facts: z.partialRecord(DriverName, Facts),
  /** As it was counted when the report was sent; null or absent: nothing counts here. */
  traffic: TrafficCounts.nullable().exactOptional(),
  /** Somebody works on the node by hand; null or absent: nobody. */
  paused: Pause.nullable().exactOptional(),
})
export type NodeReport = z.infer<typeof NodeReport>
