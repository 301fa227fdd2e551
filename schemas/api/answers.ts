import { z } from 'zod'
import { DriftRecord } from '../drift-record.ts'
import { NodeReport } from '../report.ts'
import { RevisionState } from '../revision-state.ts'

export const ReportList = z
  .strictObject({ reports: z.array(NodeReport) })
  .meta({ description: 'The latest report of every node, by name.' })
export type ReportList = z.infer<typeof ReportList>

export const DriftList = z.strictObject({ drift: z.array(DriftRecord) }).meta({
  description: 'Drift of all nodes and of the fleet: what is open, and what healed in the last hour.',
})
export type DriftList = z.infer<typeof DriftList>

export const RevisionAnswer = z
  .strictObject({ repository: RevisionState.nullable() })
  .meta({ description: 'Where the reconciler stands with the repository; null before its first look.' })
export type RevisionAnswer = z.infer<typeof RevisionAnswer>

export const ReconcileAnswer = z
  .strictObject({ result: z.literal('looking') })
  .meta({ description: 'The branch is looked at.' })
export type ReconcileAnswer = z.infer<typeof ReconcileAnswer>

/** A branch, a ref, a commit's id, or whatever gitrevisions(7) knows. */
const RevisionName = z
  .string()
  .min(1)
  .max(200)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  .regex(/^[^-\x00-\x20\x7f][^\x00-\x20\x7f]*$/, 'is no name of a revision')

export const PlanQuery = z.strictObject({
  from: RevisionName.optional().meta({
    description: 'Compare with this revision; with the live fleet when left out.',
  }),
  to: RevisionName.optional().meta({
    description: 'The revision to plan for; the head of the branch when left out.',
  }),
})
export type PlanQuery = z.infer<typeof PlanQuery>
