import { z } from 'zod'
import { RecordKind } from './drift-kind.ts'
import { DriftItem } from './report.ts'
import { Revision } from './want.ts'

export const DRIFT_RECORD_VERSION = 1

/** What drift does to traffic. */
export const DriftEffect = z.strictObject({
  /** Of the new flows of the service (of the node, where the row is none of a service) that go elsewhere or nowhere; null: not known. */
  share: z.number().min(0).max(1).nullable(),
  /** The same for people: `31% of its flows`. */
  text: z.string(),
})
export type DriftEffect = z.infer<typeof DriftEffect>

/** Drift of one node, with all that commits, alerts and people are told of it. Times in ms since the epoch, of the node's clock. */
export const DriftRecord = DriftItem.omit({ driver: true, earlier: true }).extend({
  version: z.literal(DRIFT_RECORD_VERSION),
  node: z.string().min(1),
  driver: z.string().min(1),
  /**
   * Of a node as a whole, told as drift is. `paused`: somebody works there by hand. `unreachable`: it gives no sign.
   * `rings-disagree`: it chooses other backends than nodes that serve the same.
   */
  kind: RecordKind,
  /** The Service that the row belongs to; null: none, or not known. */
  service: z.string().nullable(),
  /** What the node wanted when it reported this. */
  revision: Revision.nullable(),
  effect: DriftEffect,
})
export type DriftRecord = z.infer<typeof DriftRecord>
