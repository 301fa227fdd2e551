import { z } from 'zod'
import { DriftRecord } from './drift-record.ts'

export const FLEET_DRIFT_VERSION = 1

/** What no node can say of itself: who gives no sign, and who disagrees with others on a ring. Written by the reconciler that leads. */
export const FleetDrift = z.strictObject({
  version: z.literal(FLEET_DRIFT_VERSION),
  /** When it last changed, ms since the epoch. */
  at: z.int(),
  /** What is open, and what ended in the last hour. */
  records: z.array(DriftRecord),
})
export type FleetDrift = z.infer<typeof FleetDrift>
