import { serviceId } from '../../schemas/address.ts'
import { canonicalJson, digestOf } from '../../schemas/digest.ts'
import type { Edit } from '../../schemas/edit.ts'
import {
  DriverName,
  emptyTables,
  type NodeTables,
  type RowKey,
  type XdpServiceRow,
} from '../../schemas/node-state.ts'
import {
  type Change,
  type FleetPlan,
  type Impact,
  type NodePlan,
  PLAN_VERSION,
  type ServicePlan,
} from '../../schemas/plan.ts'
import { createRingCache } from '../ring/ring-cache.ts'
import { assessRisk } from './assess-risk.ts'
import { diffNode, type NodeEdits } from './diff.ts'
import { measureImpact } from './measure-impact.ts'
import { orderEdits } from './order.ts'

export interface PlanInput {
  readonly base: string | null
  readonly head: string | null
  /** By node name. A node that is in one of them alone comes or goes. */
  readonly before: ReadonlyMap<string, NodeTables>
  readonly after: ReadonlyMap<string, NodeTables>
  /** Names of Services by row key, from both sides. */
  readonly names: Readonly<Record<RowKey, string>>
}

/** The same change of one service, on the nodes that see it. */
interface ServiceChange {
  readonly key: RowKey
  readonly change: Change
  readonly before: XdpServiceRow | null
  readonly after: XdpServiceRow | null
  readonly nodes: string[]
}

/** What turning one fleet into another does, per service and per node, with its effect on traffic. */
export function planFleet(input: PlanInput): FleetPlan {
  const groups = new Map<string, ServiceChange>()
  const standing = new Map<RowKey, ServiceChange>()
  const nodePlans: NodePlan[] = []
  const ordered: unknown[] = []
  for (const node of [...new Set([...input.before.keys(), ...input.after.keys()])].sort()) {
    const before = input.before.get(node) ?? emptyTables()
    const after = input.after.get(node) ?? emptyTables()
    const edits = diffNode(after, before)
    const phases = orderEdits(edits)
    if (phases.length > 0) {
      ordered.push({ node, phases: phases.map(phase => ({ ...phase, edits: phase.edits.map(digestEdit) })) })
    }
    nodePlans.push(...planNode(node, edits))
    for (const change of serviceEdits(before, after, edits)) addTo(groups, groupId(change), change, node)
    const edited = new Set(edits.xdp.map(({ key }) => key))
    for (const key of Object.keys(after.xdp)) {
      const row = after.xdp[key]!
      if (row.kind !== 'service' || edited.has(key)) continue
      const group = standing.get(key)
      if (group === undefined)
        standing.set(key, { key, change: 'unchanged', before: row, after: row, nodes: [node] })
      else group.nodes.push(node)
    }
  }
  const services = planServices([...groups.values(), ...standing.values()], input.names)
  return {
    version: PLAN_VERSION,
    digest: digestOf(ordered),
    base: input.base,
    head: input.head,
    totals: countTotals(services),
    services,
    nodes: nodePlans,
  }
}

function* serviceEdits(
  before: NodeTables,
  after: NodeTables,
  edits: NodeEdits,
): Generator<Omit<ServiceChange, 'nodes'>> {
  for (const edit of edits.xdp) {
    const [was, is] = [asService(before.xdp[edit.key]), asService(after.xdp[edit.key])]
    if (was !== null || is !== null) yield { key: edit.key, change: edit.op, before: was, after: is }
  }
}

function addTo(
  groups: Map<string, ServiceChange>,
  id: string,
  change: Omit<ServiceChange, 'nodes'>,
  node: string,
): void {
  const group = groups.get(id)
  if (group === undefined) groups.set(id, { ...change, nodes: [node] })
  else group.nodes.push(node)
}

/** Many nodes share their rows. */
const rowDigests = new WeakMap<object, string>()

function digestRow(row: object | null): string | null {
  if (row === null) return null
  const known = rowDigests.get(row) ?? digestOf(row)
  rowDigests.set(row, known)
  return known
}

const digestEdit = (edit: Edit<object>) => ({
  op: edit.op,
  key: edit.key,
  before: edit.op === 'create' ? null : digestRow(edit.before),
  after: edit.op === 'delete' ? null : digestRow(edit.after),
})

const asService = (row: NodeTables['xdp'][string] | undefined): XdpServiceRow | null =>
  row?.kind === 'service' ? row : null

const groupId = ({ key, before, after }: Omit<ServiceChange, 'nodes'>): string =>
  `${key} ${digestRow(before)} ${digestRow(after)}`

function planServices(groups: readonly ServiceChange[], names: PlanInput['names']): ServicePlan[] {
  const nodeCount = new Map<RowKey, number>()
  for (const { key, nodes } of groups) nodeCount.set(key, (nodeCount.get(key) ?? 0) + nodes.length)
  const buildRing = createRingCache(RINGS_KEPT)
  return groups
    .map(group => {
      const impact = measureImpact(group.before?.backends ?? [], group.after?.backends ?? [], buildRing)
      return planService({ group, impact, names, nodeCount: nodeCount.get(group.key) ?? 0 })
    })
    .sort(byWeight)
}

/** Services of one pool follow each other, so few rings serve many. */
const RINGS_KEPT = 64

interface ServiceInput {
  readonly group: ServiceChange
  readonly impact: Impact
  readonly names: PlanInput['names']
  readonly nodeCount: number
}

function planService({ group, impact, names, nodeCount }: ServiceInput): ServicePlan {
  const { key, change, before, after, nodes } = group
  const { vip, port, protocol } = (after ?? before)!
  return {
    service: names[key] ?? serviceId(vip, port, protocol),
    vip,
    port,
    protocol,
    change,
    risk: assessRisk({ change, impact }),
    impact,
    nodes,
    node_count: nodeCount,
  }
}

/** What a reviewer should see first: by risk, then by the share that moves, then by name. */
function byWeight(a: ServicePlan, b: ServicePlan): number {
  const weight = (plan: ServicePlan): number =>
    plan.change === 'unchanged' ? -1 : plan.risk.length * RISK_WEIGHT + plan.impact.moved
  return weight(b) - weight(a) || (a.service < b.service ? -1 : a.service > b.service ? 1 : a.port - b.port)
}
const RISK_WEIGHT = 1_000_000

function countTotals(services: readonly ServicePlan[]): FleetPlan['totals'] {
  const totals = { create: 0, update: 0, delete: 0, unchanged: 0 }
  for (const { change, nodes } of services) totals[change] += nodes.length
  return totals
}

function planNode(node: string, edits: NodeEdits): NodePlan[] {
  return DriverName.options.flatMap(driver =>
    edits[driver]
      .filter(({ key }) => !key.startsWith('service/'))
      .map(edit => ({
        node,
        driver,
        key: edit.key,
        change: edit.op,
        details: edit.op === 'update' ? describeFields(edit.before, edit.after) : [],
      })),
  )
}

function describeFields(before: object, after: object): string[] {
  const was = new Map(Object.entries(before))
  return Object.entries(after)
    .filter(([field, value]) => canonicalJson(value) !== canonicalJson(was.get(field) ?? null))
    .map(([field, value]) => `${field}: ${JSON.stringify(was.get(field))} → ${JSON.stringify(value)}`)
}
