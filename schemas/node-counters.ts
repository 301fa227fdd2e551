import { z } from 'zod'
import { RowKey } from './node-state.ts'

const Count = z.number().min(0)

export const BackendCounters = z.strictObject({
  address: z.string(),
  /** Since it became a member of the service; `bytes` of inner IP packets. */
  packets: Count,
  bytes: Count,
  newFlows: Count,
  /** Live flows when it was counted. */
  connections: Count,
})
export type BackendCounters = z.infer<typeof BackendCounters>

export const NODE_COUNTERS_VERSION = 1

/** What a node's dataplane has counted; published from time to time, and forgotten when it is old. */
export const NodeCounters = z.strictObject({
  version: z.literal(NODE_COUNTERS_VERSION),
  node: z.string().min(1),
  /** When it was read, ms since the epoch. */
  at: z.int(),
  services: z.record(RowKey, z.array(BackendCounters)),
  /** Entries of the flow table that are live. */
  liveFlows: Count,
})
export type NodeCounters = z.infer<typeof NodeCounters>
