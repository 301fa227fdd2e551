import { z } from 'zod'
import { Diagnostic } from './diagnostic.ts'
import { Revision } from './want.ts'

export const REVISION_STATE_VERSION = 1

/** Where the reconciler stands with the repository; what `ballast status` shows of it. */
export const RevisionState = z.strictObject({
  version: z.literal(REVISION_STATE_VERSION),
  /** Head of the ref that is followed, when last looked at; null: there is no such ref. */
  seen: Revision.nullable(),
  /** The last good revision, which the nodes want. */
  accepted: Revision.nullable(),
  /** The head, when it was refused; null when it was accepted. `at` in ms since the epoch. */
  rejected: z.strictObject({ revision: Revision, diagnostics: z.array(Diagnostic), at: z.int() }).nullable(),
  /** When this was written, ms since the epoch. */
  at: z.int(),
})
export type RevisionState = z.infer<typeof RevisionState>
