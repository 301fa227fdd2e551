import { z } from 'zod'
import { DriftRecord } from './drift-record.ts'

export const ALERT_VERSION = 1

/** Drift that somebody is told of. Times in ms since the epoch. */
export const Alert = z.strictObject({
  /** `passed`: it was there and is gone, both told at once. */
  status: z.enum(['firing', 'resolved', 'passed']),
  severity: z.string(),
  /** One sentence. */
  summary: z.string(),
  /** Times that it came since it was last told; 0 when it only ended. */
  count: z.int().min(0),
  /** When the first of them began. */
  first: z.int(),
  record: DriftRecord,
})
export type Alert = z.infer<typeof Alert>

/** What a receiver gets at once. */
export const Notification = z.strictObject({
  version: z.literal(ALERT_VERSION),
  receiver: z.string(),
  at: z.int(),
  alerts: z.array(Alert),
})
export type Notification = z.infer<typeof Notification>

/** What is kept of one receiver, by path of drift: it outlives the process. */
export const ReceiverMemory = z.strictObject({
  version: z.literal(ALERT_VERSION),
  told: z.record(
    z.string(),
    z.strictObject({
      /** The last episode that is told or waits to be; null once it is told to have healed. */
      open: DriftRecord.nullable(),
      /** All that began or healed up to then is told or waits to be. */
      until: z.int(),
      /** When the receiver took the last of it; null: not yet. */
      sentAt: z.int().nullable(),
      /** Whether the receiver believes that it is firing. */
      isFiring: z.boolean(),
      severity: z.string(),
    }),
  ),
  waiting: z.record(z.string(), Alert),
})
export type ReceiverMemory = z.infer<typeof ReceiverMemory>
