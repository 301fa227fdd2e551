import { z } from 'zod'
import { Pause } from './drift-policy.ts'
import { DriftRecord } from './drift-record.ts'
import { EditFailure } from './edit.ts'
import { Hold } from './hold.ts'
import { DriverName } from './node-state.ts'
import { DriftItem, Facts } from './report.ts'
import { RevisionState } from './revision-state.ts'
import { FrozenNodes, Rollout } from './rollout.ts'
import { Digest, Revision } from './want.ts'

/**
 * - `in-sync`: holds what it should. - `converging`: at work on its want, or about to be.
 * - `drifted`: held it, and something changed it, or it chooses other backends than nodes that serve the same. - `failed`: could not apply it.
 * - `silent`: no sign of it for a while; it forwards as it did. - `unseen`: never reported.
 * - `leaving`: has no manifest any more and is being emptied. - `unassigned`: reports, but nothing is asked of it.
 */
export const NodeCondition = z.enum([
  'in-sync',
  'converging',
  'drifted',
  'failed',
  'silent',
  'unseen',
  'leaving',
  'unassigned',
])
export type NodeCondition = z.infer<typeof NodeCondition>

export const NodeStatus = z.strictObject({
  name: z.string(),
  state: NodeCondition,
  wanted: z.strictObject({ generation: z.int(), revision: Revision, stateDigest: Digest }).nullable(),
  reported: z.strictObject({ generation: z.int(), revision: Revision, stateDigest: Digest }).nullable(),
  /** ms since the last report; null: none. */
  reportAge: z.int().nullable(),
  failures: z.array(EditFailure),
  drift: z.array(DriftItem),
  ringsDigest: Digest.nullable(),
  /** Somebody works on it by hand; absent: nobody. */
  paused: Pause.exactOptional(),
  facts: z.partialRecord(DriverName, Facts),
})
export type NodeStatus = z.infer<typeof NodeStatus>

/** What `ballast status` prints. */
export const FleetStatus = z.strictObject({
  inSync: z.boolean(),
  repository: RevisionState.nullable(),
  /** How far the revision has come that goes out in waves, or how the last one ended; absent: none ever did. */
  rollout: Rollout.exactOptional(),
  /** Nodes that it has still to change, and that wait for a freeze window; absent: none. */
  frozen: z.array(FrozenNodes).exactOptional(),
  /** Absent: nothing is held. */
  holds: z.array(Hold).exactOptional(),
  nodes: z.array(NodeStatus),
  /** Open drift that no node can say of itself: who gives no sign, who disagrees with others on a ring; absent: none. */
  fleetDrift: z.array(DriftRecord).exactOptional(),
  at: z.int(),
})
export type FleetStatus = z.infer<typeof FleetStatus>
