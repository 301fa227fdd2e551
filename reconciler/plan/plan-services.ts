import ipaddr from 'ipaddr.js'
import type { Position } from '../../schemas/diagnostic.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { AnnouncementPlan, Change, Impact, ServicePlan } from '../../schemas/plan.ts'
import { createRingComparer } from '../ring/ring-comparer.ts'
import { assessRisk, rankOf } from './assess-risk.ts'
import { choiceOf } from './choice.ts'
import { describeFields } from './describe-fields.ts'
import { digestRow } from './digest-row.ts'
import { findRehashed } from './find-rehashed.ts'
import { findRenames } from './find-renames.ts'
import { createJoiner, type Fold, isService, type NodeClass } from './fold-edits.ts'
import { measureChoiceImpact, measureIndependent } from './measure-choice-impact.ts'
import { type CompareRings, measureImpact } from './measure-impact.ts'
import { type LiveTraffic, measureLive } from './measure-live.ts'
import { idOf, type ServiceView, viewService } from './service-view.ts'

/** Names of Services by row key. */
export type Names = Readonly<Record<RowKey, string>>

export interface ServicesInput {
  readonly fold: Fold
  readonly names: { readonly before: Names; readonly after: Names }
  readonly announcements: readonly AnnouncementPlan[]
  readonly traffic: LiveTraffic | null
  /** Where the Service's manifest, or its pool's, says what changes. */
  readonly locate: (service: string) => Position | null
  /** Not given: each ring is built when it is looked at. */
  readonly compareRings?: CompareRings | undefined
}

/** The same change of one service, on the nodes that see it. */
interface ServiceChange {
  readonly key: RowKey
  readonly change: Change
  readonly before: ServiceView | null
  readonly after: ServiceView | null
  /** The key of the flow hash changes on some of its nodes. */
  readonly isRehashed: boolean
  readonly nodes: readonly string[]
  /** Nodes that serve it: before or after, and after. */
  readonly served: readonly string[]
  readonly servedAfter: number
  readonly nameBefore: string | undefined
  readonly nameAfter: string | undefined
}

/** Services of one pool follow each other, so few comparisons serve many. */
const COMPARISONS_KEPT = 64
/** Pairs of backends that a plan has room for, and those of one service. */
const MOVES_OF_ALL = 200_000
const MOVES_OF_ONE = { least: 20, most: 1_000 } as const

export function planServices(input: ServicesInput): ServicePlan[] {
  const changes = collectChanges(input).map(markRehashed(findRehashed(input.fold)))
  const renames = findRenames(changes)
  const compare = input.compareRings ?? createRingComparer(COMPARISONS_KEPT)
  const lost = lastAnnounced(input.announcements)
  const changed = changes.filter(({ change }) => change !== 'unchanged').length
  const mostMoves = mostMovesOf(changed)
  const measure = ({ before, after, isRehashed }: ServiceChange): Impact => {
    if (isRehashed) return measureIndependent(before!, after!, mostMoves)
    if (!isByRings(before, after)) return measureChoiceImpact(before!, after!, mostMoves)
    const sides = { before: before?.backends ?? [], after: after?.backends ?? [], mostMoves }
    const impact = measureImpact(sides, compare)
    return (after ?? before)?.dataplane === 'ipvs' ? { ...impact, basis: 'weights' } : impact
  }
  return changes
    .map((change): ServicePlan => {
      const { key, before, after, nodes, served, servedAfter } = change
      const { vip, port, endPort, protocol } = (after ?? before)!
      const isChange = change.change !== 'unchanged'
      const name = change.nameAfter ?? change.nameBefore ?? idOf((after ?? before)!)
      const former = renames.get(change) ?? null
      const standing = {
        service: name,
        vip,
        port,
        ...(endPort !== undefined && { endPort }),
        protocol,
        change: change.change,
        renamed_from: former,
        nodes: nodes as string[],
        node_count: served.length,
        at: isChange || former !== null ? input.locate(name) : null,
      }
      if (!isChange)
        return {
          ...standing,
          risk: [],
          /** Of ten thousand that stay as they are, and which nobody looks at as a rule. */
          get impact() {
            return measure(change)
          },
          live: null,
          details: [],
        }
      const impact = measure(change)
      const members = new Set(after?.backends.map(({ address }) => address))
      const live = input.traffic === null ? null : measureLive({ key, nodes, members, impact }, input.traffic)
      return {
        ...standing,
        risk: assessRisk({
          change: change.change,
          before,
          after,
          isRehashed: change.isRehashed,
          impact,
          live,
          servedAfter,
          lastAnnouncer: lost(vip),
        }),
        impact,
        live,
        details: [
          ...(change.isRehashed ? ['fleetKey: changed'] : []),
          ...(change.change === 'update' ? detailsOf(before!, after!) : []),
        ],
      }
    })
    .sort(byWeight)
}

/** Of each service, when so many change. */
export const mostMovesOf = (changed: number): number =>
  Math.min(MOVES_OF_ONE.most, Math.max(MOVES_OF_ONE.least, Math.floor(MOVES_OF_ALL / changed)))

/** Where nothing is chosen otherwise, or both sides are rings of one hash: shares are those of the weights. */
export const isByRings = (before: ServiceView | null, after: ServiceView | null): boolean =>
  before === null ||
  after === null ||
  before === after ||
  (after.dataplane === 'xdp' && choiceOf(before) === choiceOf(after))

/** Shares of backends are told by the impact. */
function detailsOf(before: ServiceView, after: ServiceView): string[] {
  const without = ['backends', 'ring']
  if (before.dataplane === after.dataplane) return describeFields(before.row, after.row, without)
  return [`dataplane: ${before.dataplane} → ${after.dataplane}`]
}

/** Every service of every class of nodes, those that change alike joined over the classes. */
function collectChanges({ fold, names }: ServicesInput): Omit<ServiceChange, 'isRehashed'>[] {
  const join = createJoiner()
  const namesOf = (key: RowKey) => ({ nameBefore: names.before[key], nameAfter: names.after[key] })
  const [only, ...others] = fold.classes
  if (only !== undefined && others.length === 0) {
    const nodes = join([only.nodes])
    return Array.from(servicesOf(only), ([key, before, after, change]) => {
      const servedAfter = after === null ? 0 : nodes.length
      return { key, change, before, after, ...namesOf(key), nodes, served: nodes, servedAfter }
    })
  }
  const groups = new Map<
    string,
    {
      change: Omit<ServiceChange, 'isRehashed' | 'nodes' | 'served' | 'servedAfter'>
      lists: (readonly string[])[]
    }
  >()
  const served = new Map<RowKey, { any: (readonly string[])[]; after: (readonly string[])[] }>()
  for (const each of fold.classes) {
    for (const [key, before, after, change] of servicesOf(each)) {
      const at = served.get(key) ?? { any: [], after: [] }
      served.set(key, at)
      at.any.push(each.nodes)
      if (after !== null) at.after.push(each.nodes)
      const id =
        change === 'unchanged'
          ? `${key} ${change}`
          : `${key} ${change} ${digestRow(before?.row ?? null)} ${digestRow(after?.row ?? null)}`
      const group = groups.get(id)
      if (group !== undefined) group.lists.push(each.nodes)
      else
        groups.set(id, {
          change: { key, change, before, after, ...namesOf(key) },
          lists: [each.nodes],
        })
    }
  }
  return Array.from(groups.values(), ({ change, lists }) => {
    const { any, after } = served.get(change.key)!
    return { ...change, nodes: join(lists), served: join(any), servedAfter: join(after).length }
  })
}

/** A service whose row stays as it is changes with the key of the hash. */
function markRehashed(rehashed: ReadonlySet<string>) {
  return (change: Omit<ServiceChange, 'isRehashed'>): ServiceChange => {
    const isRehashed =
      rehashed.size > 0 &&
      change.before?.dataplane === 'xdp' &&
      change.after?.dataplane === 'xdp' &&
      change.nodes.some(node => rehashed.has(node))
    return { ...change, isRehashed, change: isRehashed ? 'update' : change.change }
  }
}

type Found = [key: RowKey, before: ServiceView | null, after: ServiceView | null, change: Change]

function* servicesOf({ before, after, edits }: NodeClass): Generator<Found> {
  const edited = new Set([...edits.xdp, ...edits.ipvs].map(({ key }) => key).filter(isService))
  for (const key of edited) {
    const [was, is] = [viewService(before, key), viewService(after, key)]
    if (was === null && is === null) continue
    yield [key, was, is, was === null ? 'create' : is === null ? 'delete' : 'update']
  }
  for (const table of [after.xdp, after.ipvs])
    for (const key of Object.keys(table)) {
      if (edited.has(key)) continue
      const view = viewService(after, key)
      if (view !== null) yield [key, view, view, 'unchanged']
    }
}

/** Whether a VIP has lost its last announcer: the longest prefix that was announced for it. */
function lastAnnounced(announcements: readonly AnnouncementPlan[]): (vip: string) => boolean {
  const lost = announcements
    .filter(({ last_announcer }) => last_announcer)
    .map(({ prefix }) => ipaddr.parseCIDR(prefix))
  if (lost.length === 0) return () => false
  return vip => {
    const address = ipaddr.parse(vip)
    return lost.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits))
  }
}

/** What a reviewer should see first: by the weightiest risk, how many there are, the share that moves, the name. */
function byWeight(a: ServicePlan, b: ServicePlan): number {
  return (
    Number(a.change === 'unchanged') - Number(b.change === 'unchanged') ||
    weightiest(a) - weightiest(b) ||
    b.risk.length - a.risk.length ||
    movedOf(b) - movedOf(a) ||
    (a.service < b.service ? -1 : a.service > b.service ? 1 : a.port - b.port)
  )
}

const movedOf = (plan: ServicePlan): number => (plan.change === 'unchanged' ? 0 : plan.impact.moved)

const weightiest = ({ risk }: ServicePlan): number =>
  risk[0] === undefined ? Number.MAX_SAFE_INTEGER : rankOf(risk[0])
