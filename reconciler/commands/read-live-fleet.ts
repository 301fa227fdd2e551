import { BgpRow, IpvsRow, type NodeTables, type RowKey, XdpRow } from '../../schemas/node-state.ts'
import type { DriftItem, NodeReport } from '../../schemas/report.ts'
import type { ObservedFleet } from '../plan/compare-live.ts'
import { createTrafficHistory } from '../queue/traffic-history.ts'
import type { OpenBoard } from './open-board.ts'

/** What the nodes hold, what traffic they have counted, and what the last change took them. `now`: ms since the epoch. */
export async function readObservedFleet(board: OpenBoard, now: number): Promise<ObservedFleet> {
  const [reports, wants, state] = await Promise.all([
    board.reports.readAll(),
    board.wants.readAll(),
    board.revisions.read(),
  ])
  const nodes = await readHeld(board, reports)
  const counters = await board.counters.readAll([...reports.keys()])
  const keys = new Set(counters.flatMap(({ services }) => Object.keys(services)))
  const records = await createTrafficHistory(board.connection).read([...keys])
  const took = [...reports.values()].flatMap(({ node, want, outcome, outcomeAt }) => {
    const known = wants.get(node)
    const isLast = known !== undefined && want?.generation === known.generation && outcome === 'applied'
    return isLast && outcomeAt !== null ? [Math.max(0, outcomeAt - known.at)] : []
  })
  return {
    at: now,
    nodes,
    traffic: { counters: new Map(counters.map(each => [each.node, each])), records },
    revision: state?.accepted ?? null,
    lastApplyMs: took.length === 0 ? null : took.reduce((a, b) => Math.max(a, b), 0),
  }
}

/** What every node that has reported was last seen to hold: the state it reported, with its open drift put in. */
async function readHeld(
  board: OpenBoard,
  reports: ReadonlyMap<string, NodeReport>,
): Promise<Map<string, NodeTables>> {
  const live = new Map<string, NodeTables>()
  for (const [node, report] of reports) {
    if (report.want === null) continue
    const state = await board.states.get(report.want.stateDigest)
    if (state !== null) live.set(node, applyDrift(state.tables, report.drift))
  }
  return live
}

const ROWS = { xdp: XdpRow, ipvs: IpvsRow, bgp: BgpRow } as const

function applyDrift(tables: NodeTables, drift: readonly DriftItem[]): NodeTables {
  const open = drift.filter(({ healedAt }) => healedAt === null)
  if (open.length === 0) return tables
  const held = { xdp: { ...tables.xdp }, ipvs: { ...tables.ipvs }, bgp: { ...tables.bgp } }
  for (const { driver, key, observed } of open) {
    const table: Record<RowKey, object> = held[driver]
    if (observed === null) delete table[key]
    else table[key] = ROWS[driver].parse(observed)
  }
  return held
}
