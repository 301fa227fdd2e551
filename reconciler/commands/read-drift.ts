import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { findUnreachable, NO_SIGNS } from '../drift/find-fleet-drift.ts'
import { recordsOf } from '../drift/fleet-drift.ts'
import { createEffectMeter } from '../drift/traffic-effect.ts'
import { readListening } from '../queue/presence.ts'
import type { OpenBoard } from './open-board.ts'

export interface DriftOfAll {
  /** By node, then oldest first; also what healed in the last hour. */
  readonly records: readonly DriftRecord[]
  readonly nodes: ReadonlySet<string>
  /** False: what the fleet as a whole shows was found by a reconciler that leads no more, or by looking now. */
  readonly isLed: boolean
}

export type ReadDrift = () => Promise<DriftOfAll>

/** What nodes report of themselves, and what the reconciler found of the fleet. Remembers what it measured. */
export function createDriftReader(board: OpenBoard): ReadDrift {
  const measure = createEffectMeter()
  return async () => {
    const [read, { drift, isLed }] = await Promise.all([board.reports.readAll(), board.fleetDrift.read()])
    const reports = [...read.values()]
    const ofFleet = drift?.records ?? []
    const silent = isLed ? [] : await findSilent(board, reports, ofFleet)
    const records = [
      ...reports.flatMap(report => recordsOf(report, () => null, measure)),
      ...ofFleet,
      ...silent,
    ]
    return {
      records: records.sort((a, b) => a.node.localeCompare(b.node) || a.since - b.since),
      nodes: new Set(read.keys()),
      isLed,
    }
  }
}

/** Nobody has found them: no reconciler leads. */
async function findSilent(
  { connection }: OpenBoard,
  reports: readonly NodeReport[],
  known: readonly DriftRecord[],
): Promise<DriftRecord[]> {
  const isTold = (node: string): boolean =>
    known.some(each => each.node === node && each.kind === 'unreachable' && each.healedAt === null)
  const nodes = reports.map(({ node }) => node)
  const listening = await readListening(connection, nodes).catch(() => null)
  return reports
    .filter(({ node }) => !isTold(node))
    .flatMap(report => {
      const isDeaf = listening !== null && !listening.has(report.node)
      const signs = { ...NO_SIGNS, lookedAt: Date.now(), deafSince: isDeaf ? report.at : null }
      return findUnreachable(report, signs.lookedAt, signs) ?? []
    })
}
