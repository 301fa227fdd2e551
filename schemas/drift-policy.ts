import { z } from 'zod'
import { DriftKind } from './drift-kind.ts'
import { RowKey } from './node-state.ts'

/** What a node does about drift: puts it right, only reports it, or puts it right when it has lasted so many ms. */
export const DriftAction = z.union([
  z.enum(['repair', 'hold']),
  z.strictObject({ repairAfter: z.int().min(1) }),
])
export type DriftAction = z.infer<typeof DriftAction>

/** `kinds` come before `all`. */
export const DriftRule = z.strictObject({ all: DriftAction, kinds: z.partialRecord(DriftKind, DriftAction) })
export type DriftRule = z.infer<typeof DriftRule>

/** For the rows of a node that have a rule of their own, and for all others. */
export const DriftPolicy = z.strictObject({ node: DriftRule, rows: z.record(RowKey, DriftRule) })
export type DriftPolicy = z.infer<typeof DriftPolicy>

export const PAUSE_VERSION = 1

/** Somebody works on a node by hand: nothing is changed there meanwhile. Times in ms since the epoch. */
export const Pause = z.strictObject({
  version: z.literal(PAUSE_VERSION),
  since: z.int(),
  /** Then it ends by itself. */
  until: z.int(),
  why: z.string().min(1),
  by: z.string(),
})
export type Pause = z.infer<typeof Pause>
