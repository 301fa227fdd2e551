import { z } from 'zod'
import { Diagnostic } from './diagnostic.ts'
import { Revision } from './want.ts'

export const REVISION_STATE_VERSION = 1

/** Why nothing new is taken, or what should be known, though the repository can be read: its branch is gone. `since` in ms since the epoch. */
export const SourceProblem = z.strictObject({
  rule: z.string(),
  message: z.string(),
  hint: z.string(),
  since: z.int(),
})
export type SourceProblem = z.infer<typeof SourceProblem>

/** How looking at a remote goes. */
export const PullState = z.strictObject({
  /** When it last went well, ms since the epoch; null: never. */
  lastAt: z.int().nullable(),
  /** Why it does not go well now, and since when; null: it does, or was not tried yet. */
  error: z
    .strictObject({ code: z.string(), message: z.string(), hint: z.string(), since: z.int() })
    .nullable(),
})
export type PullState = z.infer<typeof PullState>

/** Where the reconciler stands with the repository; what `ballast status` shows of it. */
export const RevisionState = z.strictObject({
  version: z.literal(REVISION_STATE_VERSION),
  /** Head of the ref that is followed, when last looked at; null: there is no such ref. */
  seen: Revision.nullable(),
  /** The last good revision, which the nodes want. */
  accepted: Revision.nullable(),
  /** The head, when it was refused; null when it was accepted. `at` in ms since the epoch. */
  rejected: z.strictObject({ revision: Revision, diagnostics: z.array(Diagnostic), at: z.int() }).nullable(),
  /** The branch that is followed, without `refs/heads/`; null: none is known yet. */
  branch: z.string().nullable(),
  /** Of the branch that is followed. */
  problems: z.array(SourceProblem),
  /** Null: the repository is a local one. */
  pull: PullState.nullable(),
  /** When this was written, ms since the epoch. */
  at: z.int(),
})
export type RevisionState = z.infer<typeof RevisionState>
