import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeTables, RowKey } from '../../schemas/node-state.ts'
import type { DriftItem, NodeReport } from '../../schemas/report.ts'
import type { DesiredFleet, DesiredNode } from '../desired/build-desired.ts'
import { servicesOfRoute } from '../desired/route-services.ts'
import { partsOf } from '../desired/share-rows.ts'
import { driftPath } from '../drift/drift-path.ts'
import { CONVERGES_WITHIN_MS, findDisagreement } from '../drift/find-disagreement.ts'
import { HEALED_KEPT_MS } from '../drift/find-drift.ts'
import { findUnreachable } from '../drift/find-fleet-drift.ts'
import { recordsOf } from '../drift/fleet-drift.ts'
import { createEffectMeter } from '../drift/traffic-effect.ts'
import type { DriftView } from './drift-log.ts'
import { type FoundSigns, followSigns } from './follow-signs.ts'

/** Collects what nodes report of their drift. */
export interface DriftCollector {
  /** Gives whether nodes may disagree otherwise than before it. */
  reported(report: NodeReport): boolean
  /** What Redis says of workers now; null: nobody can say. */
  signs(found: FoundSigns | null): void
  read(): DriftView
  /** That of it which nodes say of themselves. */
  ofNodes(): readonly DriftRecord[]
  /** That of it which no node can say of itself: what is there, and what ended in the last hour. */
  ofFleet(): readonly DriftRecord[]
  /** What another process, or this one before, knew of the fleet: it goes on, or has ended meanwhile. Of nodes that have reported here, nothing is taken from `reports`. */
  restore(records: readonly DriftRecord[], reports: Iterable<NodeReport>): void
  /** ms until something that was seen, and is not told yet, has lasted long enough; null: there is nothing such. */
  untilTold(): number | null
}

/** `fleet`: what is accepted; null before anything is. */
export function createDriftCollector(fleet: () => DesiredFleet | null, now: () => number): DriftCollector {
  const measure = createEffectMeter()
  const group = createGrouper()
  const signs = followSigns(now)
  let disagreeing: ReadonlyMap<string, number> = new Map()
  /** Of the fleet: what there was at the last look, and what has ended since; nobody else remembers it. */
  let open: readonly DriftRecord[] = []
  let ended: readonly DriftRecord[] = []
  const byNode = new Map<string, Known>()

  function recordsOfNode(node: string, desired: DesiredNode | null): readonly DriftRecord[] {
    const known = byNode.get(node)!
    if (known.desired !== desired) {
      const { report, before } = known
      const serviceOf = (key: RowKey): string | null => (desired === null ? null : findService(key, desired))
      const forgotten = recordsOf({ ...report, drift: [...before], paused: null }, serviceOf, measure)
      const records = [...recordsOf(report, serviceOf, measure), ...forgotten]
      byNode.set(node, { ...known, desired, records })
    }
    return byNode.get(node)!.records
  }

  function readNodes(staying: readonly string[]): DriftRecord[] {
    const nodes = fleet()?.nodes
    return staying.flatMap(node => recordsOfNode(node, nodes?.get(node) ?? null))
  }

  /** What is there, and what has ended. */
  function readFleet(staying: readonly string[]): readonly DriftRecord[] {
    const nodes = fleet()?.nodes
    if (nodes === undefined) return [...open, ...ended]
    const reports = staying.map(node => byNode.get(node)!.report)
    const at = now()
    const found = group(reports, nodes).map(each =>
      findDisagreement({
        reports: each,
        now: at,
        since: disagreeing,
        names: nodes.get(each[0]!.node)?.names ?? {},
        measure,
      }),
    )
    disagreeing = new Map(found.flatMap(({ since }) => [...since]))
    const records = [
      ...reports.flatMap(report => findUnreachable(report, at, signs.of(report.node)) ?? []),
      ...found.flatMap(each => each.records),
    ]
    const began = new Map(open.map(each => [driftPath(each), each.since]))
    // How it is noticed may change while it lasts.
    const lasting = records.map(each => ({ ...each, since: began.get(driftPath(each)) ?? each.since }))
    followEnds(lasting, at)
    return [...open, ...ended]
  }

  function followEnds(records: readonly DriftRecord[], at: number): void {
    const paths = new Set(records.map(driftPath))
    const gone = open.filter(record => !paths.has(driftPath(record)))
    const healed = gone.map(record => ({ ...record, healedAt: Math.max(at, record.since) }))
    ended = [...ended, ...healed].filter(({ healedAt }) => at - healedAt! < HEALED_KEPT_MS)
    open = records
  }

  function take(report: NodeReport): boolean {
    const known = byNode.get(report.node)
    byNode.set(report.node, { report, before: healedBefore(known, report), desired: undefined, records: [] })
    if (known !== undefined && known.report.at < report.at)
      signs.reported(report.node, known.report.worker.startedAt !== report.worker.startedAt)
    return known === undefined || choiceOf(report) !== choiceOf(known.report)
  }

  /** One that is to leave is being emptied, which is no drift. */
  const isLeaving = (node: string): boolean => fleet()?.nodes.has(node) === false
  const findStaying = (): string[] => [...byNode.keys()].filter(node => !isLeaving(node))

  return {
    reported: take,
    signs(found) {
      signs.take(found)
      // Nobody knows that they are back.
      if (found === null) open = open.filter(({ kind }) => kind !== 'unreachable')
    },
    read() {
      const staying = findStaying()
      return {
        records: [...readNodes(staying), ...readFleet(staying)],
        isKnown: node => byNode.has(node) || isLeaving(node),
      }
    },
    ofNodes: () => readNodes(findStaying()),
    ofFleet: () => readFleet(findStaying()),
    restore(records, reports) {
      for (const report of reports) if (!byNode.has(report.node)) take(report)
      const [before, over] = [records.filter(isOpen), records.filter(each => !isOpen(each))]
      for (const { node, kind, since } of before) {
        const first = Math.min(since, disagreeing.get(node) ?? since)
        if (kind === 'unreachable') signs.restore(node, since)
        else disagreeing = new Map(disagreeing).set(node, first)
      }
      const known = new Set([...open.map(driftPath), ...ended.map(episodeOf)])
      open = [...open, ...before.filter(record => !known.has(driftPath(record)))]
      ended = [...ended, ...over.filter(record => !known.has(episodeOf(record)))]
    },
    untilTold() {
      const at = now()
      const waits = [
        ...signs.dueAt().map(due => due - at),
        ...[...disagreeing.values()].map(since => since + CONVERGES_WITHIN_MS - at),
      ].filter(wait => wait > 0)
      return waits.length === 0 ? null : Math.min(...waits)
    },
  }
}

interface Known {
  readonly report: NodeReport
  /** Healed under workers that have ended: this one does not know of it. */
  readonly before: readonly DriftItem[]
  /** What `records` were made with; undefined: they are to be made. */
  readonly desired: DesiredNode | null | undefined
  readonly records: readonly DriftRecord[]
}

const episodeOf = (record: DriftRecord): string => `${driftPath(record)} ${record.since} ${record.healedAt}`
const isOpen = ({ healedAt }: DriftRecord): boolean => healedAt === null

/** Of a report, what `findDisagreement` compares. */
const choiceOf = ({ ringsDigest, outcome, want, paused }: NodeReport): string =>
  [ringsDigest, outcome, want?.revision, paused != null].join()

function healedBefore(known: Known | undefined, { worker, at }: NodeReport): DriftItem[] {
  if (known === undefined) return []
  const isSame = known.report.worker.startedAt === worker.startedAt
  const ended = isSame ? [] : known.report.drift
  return [...ended, ...known.before].filter(
    ({ healedAt }) => healedAt !== null && at - healedAt < HEALED_KEPT_MS,
  )
}

/** Nodes whose services of XDP are the same rows; rows that nodes share are the same objects. */
function createGrouper() {
  const ids = new WeakMap<object, number>()
  const signatures = new WeakMap<object, string>()
  let last = 0
  const idOf = (row: object): number => {
    const id = ids.get(row) ?? ++last
    ids.set(row, id)
    return id
  }
  const signatureOf = (tables: NodeTables | undefined): string => {
    if (tables === undefined) return ''
    // What a node has for itself are no services.
    const services = partsOf(tables)?.shared.rows ?? tables.xdp
    const known = signatures.get(services)
    if (known !== undefined) return known
    const rows = Object.entries(services).filter(([, { kind }]) => kind === 'service')
    const signature =
      rows.length === 0
        ? ''
        : rows
            .map(([key, row]) => `${key} ${idOf(row)}`)
            .sort()
            .join('\n')
    signatures.set(services, signature)
    return signature
  }
  return (reports: readonly NodeReport[], nodes: DesiredFleet['nodes']): NodeReport[][] => {
    const groups = Map.groupBy(reports, ({ node }) => signatureOf(nodes.get(node)?.state.tables))
    return [...groups].flatMap(([signature, group]) => (signature === '' ? [] : [group]))
  }
}

/** Of a route that several announce, the first by name. */
const findService = (key: RowKey, { names, state }: DesiredNode): string | null =>
  names[key] ?? servicesOfRoute(key, state.tables.bgp, names)[0] ?? null
