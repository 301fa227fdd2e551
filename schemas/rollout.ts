import { z } from 'zod'
import { Diagnostic } from './diagnostic.ts'
import { Gates } from './manifest/rollout.ts'
import { TrafficCounts } from './traffic-counts.ts'
import { Revision } from './want.ts'

/**
 * Which state a node wants: `base` that of the last good revision, `target` that of the new one. `kept`: whatever
 * it wanted before, of a revision that is neither, or is not known any more.
 */
export const Side = z.enum(['kept', 'base', 'target'])
export type Side = z.infer<typeof Side>

export const RolloutNode = z.strictObject({
  name: z.string().min(1),
  wave: z.int().min(0),
  side: Side,
  /** When it was told to change to its side, ms since the epoch; null: it has, or never was. */
  changingSince: z.int().nullable(),
  /** Its counts when it was told, or when the wave opened for those that were not yet; null: not known. */
  counted: TrafficCounts.nullable(),
})
export type RolloutNode = z.infer<typeof RolloutNode>

const RolloutGates = Gates.extend({
  probes: z.array(z.strictObject({ address: z.string(), port: z.int().min(1).max(65535) })),
})

export const ROLLOUT_VERSION = 1

/**
 * - `running`: waves open one after the other. - `failed`: a gate closed; the changed nodes go back to `base`.
 * - `done`: the target is the last good revision; nodes that did not report follow when they do.
 */
const RolloutState = z.enum(['running', 'failed', 'done'])

/** How far a revision has come. Complete: what happens next follows from it, the reports and the clock. */
export const Rollout = z.strictObject({
  version: z.literal(ROLLOUT_VERSION),
  /** Grows with every change: of two copies the one with the higher number is the record. */
  sequence: z.int().min(1),
  state: RolloutState,
  /** Null: no revision was accepted before. */
  base: Revision.nullable(),
  target: Revision,
  startedAt: z.int(),
  waves: z.array(z.string()).min(1),
  /** Index of the wave that is open. */
  wave: z.int().min(0),
  waveOpenedAt: z.int(),
  /** Since when every reachable node of the open wave has its new state; null: not yet. */
  bakingSince: z.int().nullable(),
  nodes: z.array(RolloutNode),
  /** Sets of nodes that serve a VIP in common: of each, at most `maxInChange` change at a time. */
  announcers: z.array(z.array(z.string())),
  bakeMs: z.int().min(0),
  deadlineMs: z.int().min(0),
  /** Null: any number. */
  maxInChange: z.int().min(1).nullable(),
  /** Null: none. */
  gates: RolloutGates.nullable(),
  onFailure: z.enum(['stop', 'revert', 'review']),
  freeze: z.array(
    z.strictObject({
      mode: z.enum(['deny', 'allow']),
      schedule: z.string(),
      duration: z.string(),
      timeZone: z.string(),
      nodes: z.array(z.string()).nullable(),
      /** As its manifest says, for people. */
      reason: z.string().exactOptional(),
    }),
  ),
  /** Why windows do not count for this revision, as its commit says; null: they do. */
  freezeOverride: z.string().nullable(),
  failure: z.strictObject({ gate: z.string(), message: z.string(), at: z.int() }).nullable(),
  /** What was pushed because of the failure: a branch, or nothing because it had moved on; null: not done. */
  reverted: z.string().nullable(),
  /** Where that is reviewed, an address; null: nowhere. Records of before had none. */
  revertPull: z.string().nullable().default(null),
})
export type Rollout = z.infer<typeof Rollout>

/** `until`: ms since the epoch; null: no window lets them change. `reasons`: of the windows that keep them. */
export const FrozenNodes = z.strictObject({
  nodes: z.array(z.string()),
  until: z.int().nullable(),
  reasons: z.array(z.string()).exactOptional(),
})
export type FrozenNodes = z.infer<typeof FrozenNodes>

/** How a revision would go out, said beforehand. */
export const RolloutPreview = z.strictObject({
  /** Why it would be refused, beside what is not valid; empty: it would not. */
  refusals: z.array(Diagnostic),
  /** In their order; one: all nodes at once. Nodes that do not change are not in it. */
  waves: z.array(z.strictObject({ name: z.string(), nodes: z.array(z.string()) })),
  bake_ms: z.int().min(0),
  /** Nodes that serve one VIP and may be in change at a time; null: any number. */
  max_in_change: z.int().nullable(),
  /**
   * VIPs of which a wave changes some nodes and not the others, for as long as it bakes. `at_risk`: of the flows that
   * routers move to another node in that time, the share that meets another backend there, 0 to 1.
   */
  splits: z.array(
    z.strictObject({
      service: z.string(),
      vip: z.string(),
      wave: z.string(),
      changed: z.int(),
      announcers: z.int(),
      at_risk: z.number().min(0).max(1),
    }),
  ),
  /**
   * Changed services that some gates see nothing of: in IPVS their packets are not counted. `probed`: a probe tries one
   * of their ports. Empty where there are no gates.
   */
  unjudged: z.array(
    z.strictObject({
      service: z.string(),
      vip: z.string(),
      nodes: z.array(z.string()),
      gates: z.array(Gates.keyof()),
      probed: z.boolean(),
    }),
  ),
  /** Nodes that may not change now, and when they may, ms since the epoch; null: the windows leave no gap. */
  frozen: z.array(FrozenNodes),
  /** Why windows do not count, as a commit says; null: they do. */
  freeze_override: z.string().nullable(),
  /** `requireReviewedPlan` asks for it: held after the merge unless a plan of this digest was recorded. Absent: it does not. */
  needs_review: z.literal(true).exactOptional(),
})
export type RolloutPreview = z.infer<typeof RolloutPreview>
