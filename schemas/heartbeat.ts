import { z } from 'zod'

export const HEARTBEAT_VERSION = 1

/** That a worker's process runs, and what it is at. Told every second, and forgotten when it is old. */
export const Heartbeat = z.strictObject({
  version: z.literal(HEARTBEAT_VERSION),
  /** No two of a process are the same. */
  beat: z.int(),
  /** The step that its round is in, and for how long, ms of its own clock; null: it waits for the next round. */
  doing: z.strictObject({ what: z.string(), forMs: z.int().min(0) }).nullable(),
})
export type Heartbeat = z.infer<typeof Heartbeat>
