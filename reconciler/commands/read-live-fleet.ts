import { type NodeTables, XdpRow } from '../../schemas/node-state.ts'
import type { DriftItem } from '../../schemas/report.ts'
import type { OpenBoard } from './open-board.ts'

/** What every node that has reported was last seen to hold: the state it reported, with its open drift put in. */
export async function readLiveFleet(board: OpenBoard): Promise<Map<string, NodeTables>> {
  const live = new Map<string, NodeTables>()
  for (const [node, report] of await board.reports.readAll()) {
    if (report.want === null) continue
    const state = await board.states.get(report.want.stateDigest)
    if (state !== null) live.set(node, applyDrift(state.tables, report.drift))
  }
  return live
}

function applyDrift(tables: NodeTables, drift: readonly DriftItem[]): NodeTables {
  const xdp = { ...tables.xdp }
  for (const { driver, key, observed, healedAt } of drift) {
    if (healedAt !== null || driver !== 'xdp') continue
    if (observed === null) delete xdp[key]
    else xdp[key] = XdpRow.parse(observed)
  }
  return { ...tables, xdp }
}
