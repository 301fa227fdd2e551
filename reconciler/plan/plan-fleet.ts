import type { Position } from '../../schemas/diagnostic.ts'
import { DriverName, type NodeTables } from '../../schemas/node-state.ts'
import {
  type FleetPlan,
  type LiveState,
  type NodePlan,
  type ObjectPlan,
  PLAN_VERSION,
  type ServicePlan,
} from '../../schemas/plan.ts'
import { servicesOfRoute } from '../desired/route-services.ts'
import { assessNodeRisk } from './assess-risk.ts'
import { compareLive, type ObservedFleet } from './compare-live.ts'
import { type ComparedObject, compareObjects } from './compare-objects.ts'
import { describeFields } from './describe-fields.ts'
import { expectDuration } from './expect-duration.ts'
import { createJoiner, type Fold, foldEdits, isService } from './fold-edits.ts'
import type { CompareRings } from './measure-impact.ts'
import { planAnnouncements } from './plan-announcements.ts'
import { digestEdits, type PlanPart } from './plan-digest.ts'
import { type Names, planServices } from './plan-services.ts'
import { summariseRisk } from './summarise-risk.ts'
import { wayBack } from './way-back.ts'

/** One side of a comparison. */
export interface PlanSide {
  /** Null: the live fleet, or nothing at all. */
  readonly revision: string | null
  /** By node name. A node that is on one side alone comes or goes. */
  readonly nodes: ReadonlyMap<string, NodeTables>
  /** Names of Services by row key. */
  readonly names: Names
  /** Null: there are no manifests, or they are not asked about. */
  readonly manifests: readonly PlannedManifest[] | null
}

/** Of a pool: who uses it is read from the services. */
type PlannedManifest = ComparedObject & { readonly spec: { readonly pool?: string | undefined } }

export interface Comparison {
  readonly before: PlanSide
  readonly after: PlanSide
  /** What the nodes have reported; null: not asked. */
  readonly observed?: ObservedFleet | null
  /** The folder of the manifests; '' for all of the repository. */
  readonly path?: string
}

export interface MadePlan {
  readonly plan: FleetPlan
  /** What the digest is of: for keeping the plan, and for saying what moved. */
  readonly parts: readonly PlanPart[]
}

export interface PlanInput {
  readonly base: string | null
  readonly head: string | null
  /** By node name. */
  readonly before: ReadonlyMap<string, NodeTables>
  readonly after: ReadonlyMap<string, NodeTables>
  /** Names of Services by row key, from both sides. */
  readonly names: Names
}

/** The plan of tables alone, without manifests and without what the fleet reports. */
export const planFleet = ({ base, head, before, after, names }: PlanInput): FleetPlan =>
  makeFleetPlan({
    before: { revision: base, nodes: before, names, manifests: null },
    after: { revision: head, nodes: after, names, manifests: null },
  }).plan

/** What turning one fleet into another does, per service and per node, with its effect on traffic. */
export const makeFleetPlan = (comparison: Comparison): MadePlan =>
  preparePlan(comparison, foldEdits(comparison.before.nodes, comparison.after.nodes))()

/** Not given: each ring is built when it is looked at. */
export type FinishPlan = (compareRings?: CompareRings) => MadePlan

/** All of a plan that does without rings, of the edits that turn one side into the other. */
export function preparePlan(comparison: Comparison, fold: Fold): FinishPlan {
  const { before, after, observed = null, path = '' } = comparison
  const { digest, parts } = digestEdits(fold.edits)
  const announcements = planAnnouncements(fold.classes)
  const nodes = planNodes(fold)
  const objects = planObjects(before, after, fold)
  const places = placesOf(objects, after.manifests ?? [])
  const live: LiveState | null = observed === null ? null : compareLive(observed, fold, before)
  const duration = expectDuration(fold.edits, observed?.lastApplyMs ?? null)
  const changes = fold.edits.length > 0 || objects.length > 0
  const revert = changes
    ? wayBack({ base: before.revision ?? observed?.revision ?? null, head: after.revision, objects, path })
    : null
  return compareRings => {
    const services = planServices({
      fold,
      names: { before: before.names, after: after.names },
      announcements,
      traffic: observed?.traffic ?? null,
      locate: service => places.get(service) ?? null,
      compareRings,
    })
    const plan: FleetPlan = {
      version: PLAN_VERSION,
      digest,
      base: before.revision,
      head: after.revision,
      risk: summariseRisk({ services, nodes, announcements }),
      totals: countTotals(services),
      services,
      nodes,
      announcements,
      objects,
      live,
      duration,
      revert,
    }
    return { plan, parts }
  }
}

function countTotals(services: readonly ServicePlan[]): FleetPlan['totals'] {
  const totals = { create: 0, update: 0, delete: 0, unchanged: 0 }
  for (const { change, nodes } of services) totals[change] += nodes.length
  return totals
}

/** Rows that are no services, those of nodes that change alike as one. Announcements are told by prefix. */
function planNodes({ edits }: Fold): NodePlan[] {
  const groups = new Map<
    string,
    { plan: Omit<NodePlan, 'nodes' | 'node_count'>; lists: (readonly string[])[] }
  >()
  const counts = new Map<string, number>()
  for (const { driver, edit, nodes } of edits) {
    const { key, op: change } = edit
    // Routes that come or go are told with their prefix, and their conditions come and go with them.
    if (isService(key) || (change !== 'update' && /^(route|condition)\//.test(key))) continue
    const details = edit.op === 'update' ? describeFields(edit.before, edit.after) : []
    const row = `${driver} ${key}`
    counts.set(row, (counts.get(row) ?? 0) + nodes.length)
    const id = `${row} ${change} ${details.join('\n')}`
    const group = groups.get(id)
    if (group !== undefined) group.lists.push(nodes)
    else
      groups.set(id, {
        plan: { driver, key, change, details, risk: assessNodeRisk({ key, change, details }) },
        lists: [nodes],
      })
  }
  const join = createJoiner()
  return Array.from(groups.values(), ({ plan, lists }) => ({
    ...plan,
    nodes: [...join(lists)],
    node_count: counts.get(`${plan.driver} ${plan.key}`) ?? 0,
  })).sort(
    (a, b) =>
      DriverName.options.indexOf(a.driver) - DriverName.options.indexOf(b.driver) ||
      (a.key < b.key ? -1 : a.key > b.key ? 1 : b.nodes.length - a.nodes.length),
  )
}

function planObjects(before: PlanSide, after: PlanSide, fold: Fold): ObjectPlan[] {
  if (before.manifests === null || after.manifests === null) return []
  const services = new Set<string>()
  const nodes = new Set<string>()
  let fleet = false
  for (const { edit, nodes: on } of fold.edits) {
    if (isService(edit.key)) {
      for (const names of [before.names, after.names]) {
        const name = names[edit.key]
        if (name !== undefined) services.add(name)
      }
    } else {
      for (const node of on) nodes.add(node)
      fleet = true
      for (const side of [before, after]) {
        const bgp = side.nodes.get(on[0]!)?.bgp ?? {}
        for (const name of servicesOfRoute(edit.key, bgp, side.names)) services.add(name)
      }
    }
  }
  const pools = new Set<string>()
  for (const manifests of [before.manifests, after.manifests])
    for (const { kind, metadata, spec } of manifests)
      if (kind === 'Service' && spec.pool !== undefined && services.has(metadata.name)) pools.add(spec.pool)
  return compareObjects(before.manifests, after.manifests, ({ kind, name }) => {
    switch (kind) {
      case 'Service':
        return services.has(name)
      case 'BackendPool':
        return pools.has(name)
      case 'Node':
        return nodes.has(name) || before.nodes.has(name) !== after.nodes.has(name)
      default:
        return fleet
    }
  })
}

/** By Service: where its own manifest changes, else where its pool does. */
function placesOf(
  objects: readonly ObjectPlan[],
  manifests: readonly PlannedManifest[],
): ReadonlyMap<string, Position> {
  const places = new Map<string, Position>()
  if (objects.length === 0) return places
  const pools = new Map(
    objects.filter(({ kind }) => kind === 'BackendPool').map(({ name, at }) => [name, at]),
  )
  for (const { kind, metadata, spec } of manifests) {
    const at = kind === 'Service' && spec.pool !== undefined ? pools.get(spec.pool) : undefined
    if (at !== undefined) places.set(metadata.name, at)
  }
  for (const { kind, name, at } of objects) if (kind === 'Service') places.set(name, at)
  return places
}
