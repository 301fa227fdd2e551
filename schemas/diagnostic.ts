import { z } from 'zod'

/** A place in a file of the repository; line and column count from 1. */
export const Position = z.strictObject({ file: z.string(), line: z.int().min(1), column: z.int().min(1) })
export type Position = z.infer<typeof Position>

/**
 * Something wrong with what a person wrote: a value, never an exception.
 * `message` says what and why, in one sentence; `hint` how to fix it.
 */
export const Diagnostic = z.strictObject({
  rule: z.string(),
  severity: z.enum(['error', 'warning']),
  message: z.string(),
  hint: z.string(),
  at: Position,
})
export type Diagnostic = z.infer<typeof Diagnostic>
