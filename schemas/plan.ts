import { z } from 'zod'
import { DriverName, Protocol, RowKey } from './node-state.ts'
import { Digest, Revision } from './want.ts'

/** Why a reviewer should look twice; each is explained in docs and by `explainRisk`. */
export const Risk = z.enum([
  'service-removed',
  'ports-opened',
  'all-backends-drained',
  'backend-share-removed',
  'weights-skewed',
])
export type Risk = z.infer<typeof Risk>

/** Shares are fractions of the ring's slots, so of the service's new flows. */
export const BackendShare = z.strictObject({
  address: z.string(),
  share_before: z.number().min(0).max(1),
  share_after: z.number().min(0).max(1),
})
export type BackendShare = z.infer<typeof BackendShare>

/** What a change does to the traffic of one service, computed from the rings before and after. */
export const Impact = z.strictObject({
  slots: z.int(),
  /** Slots whose backend changes, and how many of these no ring could avoid. */
  moved: z.int(),
  minimum: z.int(),
  backends: z.array(BackendShare),
})
export type Impact = z.infer<typeof Impact>

export const Change = z.enum(['create', 'update', 'delete', 'unchanged'])
export type Change = z.infer<typeof Change>

/**
 * One change to one VIP:port. Nodes that change alike are one entry; a service that changes differently on
 * some nodes has an entry for each way.
 */
export const ServicePlan = z.strictObject({
  /** Name of the Service manifest; the id `vip:port/protocol` for one that has no manifest. */
  service: z.string(),
  vip: z.string(),
  port: z.int(),
  protocol: Protocol,
  change: Change,
  risk: z.array(Risk),
  impact: Impact,
  nodes: z.array(z.string()),
  /** Nodes that serve it, before or after. */
  node_count: z.int(),
})
export type ServicePlan = z.infer<typeof ServicePlan>

/** A change to a node that is not a service: its settings, its interfaces. */
export const NodePlan = z.strictObject({
  node: z.string(),
  driver: DriverName,
  key: RowKey,
  change: z.enum(['create', 'update', 'delete']),
  /** `field: before → after`, in words. */
  details: z.array(z.string()),
})
export type NodePlan = z.infer<typeof NodePlan>

export const PLAN_VERSION = 1

export const FleetPlan = z.strictObject({
  version: z.literal(PLAN_VERSION),
  /** Of the ordered edits and the observed rows that they touch; no revision ids. */
  digest: Digest,
  /** Null: the live fleet, or nothing at all. */
  base: Revision.nullable(),
  head: Revision.nullable(),
  /** Services on nodes: one VIP:port on two nodes counts two. */
  totals: z.strictObject({ create: z.int(), update: z.int(), delete: z.int(), unchanged: z.int() }),
  services: z.array(ServicePlan),
  nodes: z.array(NodePlan),
})
export type FleetPlan = z.infer<typeof FleetPlan>
