import { z } from 'zod'

/** What a node's dataplane has counted since its program was loaded; packets, and of `newFlows` flows. */
export const TrafficCounts = z.strictObject({
  packets: z.number().min(0),
  dropped: z.number().min(0),
  /** Packets of established flows whose backend had left. */
  reset: z.number().min(0),
  newFlows: z.number().min(0),
  failedFlows: z.number().min(0),
  /** TCP: SYNs that were forwarded, and those after which the client went on. Records of before had neither. */
  opened: z.number().min(0).default(0),
  answered: z.number().min(0).default(0),
})
export type TrafficCounts = z.infer<typeof TrafficCounts>
export const TRAFFIC_COUNTS = TrafficCounts.keyof().options
