import { z } from 'zod'
import { DriverName, RowKey } from './node-state.ts'

/** One change to one row of a driver's table. */
export type Edit<Row> =
  | { readonly op: 'create'; readonly key: RowKey; readonly after: Row }
  | { readonly op: 'update'; readonly key: RowKey; readonly before: Row; readonly after: Row }
  | { readonly op: 'delete'; readonly key: RowKey; readonly before: Row }

/** What came of one edit. `code` is a `BallastError` code; `message` says what, `hint` how to mend it. */
export const EditOutcome = z.discriminatedUnion('result', [
  z.strictObject({ result: z.literal('applied'), key: RowKey }),
  z.strictObject({
    result: z.literal('failed'),
    key: RowKey,
    code: z.string(),
    message: z.string(),
    hint: z.string(),
    retryable: z.boolean(),
  }),
])
export type EditOutcome = z.infer<typeof EditOutcome>

/** An outcome that did not succeed, with the driver that it belongs to. */
export const EditFailure = z.strictObject({
  driver: DriverName,
  key: RowKey,
  code: z.string(),
  message: z.string(),
  hint: z.string(),
  retryable: z.boolean(),
})
export type EditFailure = z.infer<typeof EditFailure>
