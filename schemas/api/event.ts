import { z } from 'zod'
import { Diagnostic } from '../diagnostic.ts'
import { FleetPlan } from '../plan.ts'
import { DriftItem, Outcome } from '../report.ts'
import { Revision } from '../want.ts'

/** What the stream of events tells of; `type` is the event's name in the stream too. */
export const ApiEvent = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('push-seen'),
      revision: Revision,
      subject: z.string(),
      author: z.string(),
    }),
    z.strictObject({
      type: z.literal('accepted'),
      revision: Revision,
      totals: FleetPlan.shape.totals,
    }),
    z.strictObject({
      type: z.literal('refused'),
      revision: Revision,
      /** The first of them. */
      diagnostics: z.array(Diagnostic).max(20),
      problems: z.int().min(0),
    }),
    z.strictObject({
      type: z.literal('node-reported'),
      node: z.string(),
      generation: z.int().nullable(),
      revision: Revision.nullable(),
      outcome: Outcome.nullable(),
      failures: z.int().min(0),
    }),
    z.strictObject({ type: z.literal('drift-found'), node: z.string(), item: DriftItem }),
    z.strictObject({ type: z.literal('drift-healed'), node: z.string(), item: DriftItem }),
    /** Events were missed: this process does not have them (any more). Read the state anew. */
    z.strictObject({ type: z.literal('gap') }),
  ])
  .meta({ description: 'Something that happened.' })
export type ApiEvent = z.infer<typeof ApiEvent>
