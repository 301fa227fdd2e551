import { z } from 'zod'
import { Position } from './diagnostic.ts'
import { DriverName, IpvsProtocol, RowKey } from './node-state.ts'
import { RolloutPreview } from './rollout.ts'
import { Digest, Revision } from './want.ts'

/** Why a reviewer should look twice; docs/plan.md explains each, and so does `explainRisk`. */
export const Risk = z.enum([
  'last-announcer',
  'all-backends-drained',
  'service-removed',
  'backend-share-removed',
  'flows-cut',
  'load-above-peak',
  'hash-changed',
  'forwarding-changed',
  'nodes-removed',
  'weights-skewed',
  'ring-too-small',
  'ports-opened',
])
export type Risk = z.infer<typeof Risk>

/** How much a reviewer should mind. */
export const Severity = z.enum(['high', 'medium', 'low'])
export type Severity = z.infer<typeof Severity>

/** Shares are fractions of the ring's slots, so of the service's new flows. */
export const BackendShare = z.strictObject({
  address: z.string(),
  share_before: z.number().min(0).max(1),
  share_after: z.number().min(0).max(1),
})
export type BackendShare = z.infer<typeof BackendShare>

/** Slots that one backend takes from another; null: nobody had them, or nobody gets them. */
export const Move = z.strictObject({ from: z.string().nullable(), to: z.string().nullable(), slots: z.int() })
export type Move = z.infer<typeof Move>

/**
 * From what an impact is computed. `ring`: the rings before and after. `table`: those that IPVS builds for `mh`, `sh` and
 * `dh`. `weights`: the scheduler goes by load or in turn, so shares are those of the long run, and what moves is the
 * least that they let move. `independent`: old and new choose in ways that have nothing to do with each other (another hash, another
 * key); a flow stays with the sum of `share_before * share_after`, exact over all flows that there can be.
 */
const ImpactBasis = z.enum(['ring', 'table', 'weights', 'independent'])

/** What a change does to the traffic of one service. */
export const Impact = z.strictObject({
  basis: ImpactBasis,
  slots: z.int(),
  /** Slots whose backend changes, and how many of these no ring could avoid. */
  moved: z.int(),
  minimum: z.int(),
  backends: z.array(BackendShare),
  /** The slots that move, by who had them and who gets them, most first; those of a great plan are cut. */
  moves: z.array(Move),
  /** Slots that move in pairs that were cut. */
  moves_cut: z.int(),
})
export type Impact = z.infer<typeof Impact>

/** Of one backend that stays: packets/s that it would get, as a fraction of the most that it got in the last one to two weeks. */
export const BackendLoad = z.strictObject({
  address: z.string(),
  /** With the traffic of now, and with the most that the service had; null: it never had any. */
  now: z.number().min(0).nullable(),
  at_peak: z.number().min(0).nullable(),
})
export type BackendLoad = z.infer<typeof BackendLoad>

/** What a change does to the flows that are there, by the counters of the nodes that it is made on. */
export const LiveImpact = z.strictObject({
  /** Nodes of this change whose counters were read; the figures are theirs. */
  nodes_read: z.int(),
  flows: z.number(),
  /** Share of them whose backend is no member any more. */
  flows_lost: z.number().min(0).max(1),
  /** Flows that must end: those of backends that leave, or of a service that does. */
  connections_ended: z.number(),
  /** Null: not measured yet; a rate takes two counts. */
  packets_per_second: z.number().nullable(),
  packets_lost: z.number().min(0).max(1).nullable(),
  /** Backends that get new flows after it. */
  load: z.array(BackendLoad),
})
export type LiveImpact = z.infer<typeof LiveImpact>

export const Change = z.enum(['create', 'update', 'delete', 'unchanged'])
export type Change = z.infer<typeof Change>

/** What something was called before. */
const FormerService = z.strictObject({
  service: z.string(),
  vip: z.string(),
  port: z.int(),
  endPort: z.int().exactOptional(),
})

/**
 * One change to one VIP:port. Nodes that change alike are one entry; a service that changes differently on
 * some nodes has an entry for each way.
 */
export const ServicePlan = z.strictObject({
  /** Name of the Service manifest; the id `vip:port/protocol` for one that has no manifest. */
  service: z.string(),
  vip: z.string(),
  port: z.int(),
  /** The last of its ports, when it has more than one. */
  endPort: z.int().exactOptional(),
  protocol: IpvsProtocol,
  change: Change,
  /** Null: it had the same name, VIP and port before, or was not there. */
  renamed_from: FormerService.nullable(),
  /** Weightiest first. */
  risk: z.array(Risk),
  impact: Impact,
  /** Null: the counters of none of its nodes could be read, or were not asked for. */
  live: LiveImpact.nullable(),
  /** What else changes: `field: before → after`, in words. */
  details: z.array(z.string()),
  nodes: z.array(z.string()),
  /** Nodes that serve it, before or after. */
  node_count: z.int(),
  /** Where the manifest says so: the first changed line. */
  at: Position.nullable(),
})
export type ServicePlan = z.infer<typeof ServicePlan>

/** A change to nodes that is not a service: their settings, their interfaces. Nodes that change alike are one entry. */
export const NodePlan = z.strictObject({
  nodes: z.array(z.string()),
  /** Nodes on which this row changes in any way. */
  node_count: z.int(),
  driver: DriverName,
  key: RowKey,
  change: z.enum(['create', 'update', 'delete']),
  risk: z.array(Risk),
  /** `field: before → after`, in words. */
  details: z.array(z.string()),
})
export type NodePlan = z.infer<typeof NodePlan>

/** A prefix that other nodes announce than before. */
export const AnnouncementPlan = z.strictObject({
  prefix: z.string(),
  announced_on: z.array(z.string()),
  withdrawn_on: z.array(z.string()),
  /** Nodes that announce it before and after. */
  before: z.int(),
  after: z.int(),
  /** It was announced, and nobody does any more. */
  last_announcer: z.boolean(),
})
export type AnnouncementPlan = z.infer<typeof AnnouncementPlan>

/** A manifest that two revisions do not share. */
export const ObjectPlan = z.strictObject({
  kind: z.string(),
  name: z.string(),
  change: z.enum(['create', 'update', 'delete', 'rename']),
  /** Its name before, when `change` is `rename`. */
  renamed_from: z.string().nullable(),
  /** `none`: no packet goes anywhere else for it. */
  effect: z.enum(['traffic', 'none']),
  /** `spec.backends.0.weight: 100 → 50`, where in the file. Values that may be secret are left out. */
  fields: z.array(z.strictObject({ text: z.string(), line: z.int(), column: z.int() })),
  /** Of the revision that has it; the file of the one before when it is deleted. */
  at: Position,
  /** Where it stood before, when that is another file. */
  file_before: z.string().nullable(),
})
export type ObjectPlan = z.infer<typeof ObjectPlan>

/** How the plan compares with the fleet as it is. */
export const LiveState = z.strictObject({
  /** When it was read, ms since the epoch. */
  at: z.int(),
  nodes_reporting: z.int(),
  /** Nodes of the plan that have not reported. */
  nodes_silent: z.array(z.string()),
  /** Touched by this plan and held otherwise than the base says: it moved, or has drifted. Empty when the base is the live fleet. */
  differs: z.array(z.strictObject({ key: RowKey, nodes: z.array(z.string()) })),
})
export type LiveState = z.infer<typeof LiveState>

export const Duration = z.strictObject({
  /** From the push to the last node, ms. Drains and withdrawals that are waited for are not in it. */
  expected: z.number(),
  /** `measured`: what the last change took these nodes; `modelled`: from the number of edits. */
  basis: z.enum(['measured', 'modelled']),
  /** What is waited for on the way. */
  waits: z.array(z.string()),
})
export type Duration = z.infer<typeof Duration>

export const PLAN_VERSION = 1

export const FleetPlan = z.strictObject({
  version: z.literal(PLAN_VERSION),
  /** Of the ordered edits and the observed rows that they touch; no revision ids, annotations, counters. */
  digest: Digest,
  /** Null: the live fleet, or nothing at all. */
  base: Revision.nullable(),
  head: Revision.nullable(),
  /** All that was found, in one line. `severity` null: nothing. */
  risk: z.strictObject({ severity: Severity.nullable(), rules: z.array(Risk), line: z.string() }),
  /** Services on nodes: one VIP:port on two nodes counts two. */
  totals: z.strictObject({ create: z.int(), update: z.int(), delete: z.int(), unchanged: z.int() }),
  services: z.array(ServicePlan),
  nodes: z.array(NodePlan),
  announcements: z.array(AnnouncementPlan),
  /** Empty when the base is the live fleet, which has no manifests. */
  objects: z.array(ObjectPlan),
  /** Null: the plan was made from revisions alone. */
  live: LiveState.nullable(),
  duration: Duration,
  /** A command that undoes it, for a shell in a clone of the repository; null: there is nothing to go back to. */
  revert: z.string().nullable(),
  /** What guards, waves and freeze windows make of it; absent: it is not known what is accepted. */
  rollout: RolloutPreview.exactOptional(),
})
export type FleetPlan = z.infer<typeof FleetPlan>
