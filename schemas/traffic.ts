import { z } from 'zod'

const Rate = z.number().min(0)

/** Packets per second: over the last interval, the most in the window that is running, the most in the one before. */
const Rates = z.strictObject({ rate: Rate, peak: Rate, before: Rate })
export type Rates = z.infer<typeof Rates>

export const TRAFFIC_RECORD_VERSION = 1

/** How much traffic a service had lately, on all nodes together. Its size does not grow with time. */
export const TrafficRecord = z.strictObject({
  version: z.literal(TRAFFIC_RECORD_VERSION),
  /** When `rate` was measured, ms since the epoch. */
  at: z.int(),
  /** Number of the running window, counted from the epoch. */
  window: z.int(),
  total: Rates,
  /** By address. */
  backends: z.record(z.string(), Rates),
})
export type TrafficRecord = z.infer<typeof TrafficRecord>
