import type { FleetStatus, NodeCondition, NodeStatus } from '../../schemas/fleet-status.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { RevisionState } from '../../schemas/revision-state.ts'
import type { Want } from '../../schemas/want.ts'

/** A node that reports every 10 s and has not for this long is silent, ms. */
const SILENT_AFTER_MS = 30_000

export interface FleetView {
  readonly revisions: RevisionState | null
  readonly wants: ReadonlyMap<string, Want>
  readonly reports: ReadonlyMap<string, NodeReport>
  /** ms since the epoch. */
  readonly now: number
}

/** Joins what is wanted with what was reported, node by node. */
export function makeFleetStatus({ revisions, wants, reports, now }: FleetView): FleetStatus {
  const names = [...new Set([...wants.keys(), ...reports.keys()])].sort()
  const nodes = names.map(name => makeNodeStatus(name, wants.get(name), reports.get(name), now))
  const accepted = revisions === null || (revisions.rejected === null && revisions.problems.length === 0)
  return {
    inSync: accepted && nodes.every(({ state }) => state === 'in-sync'),
    repository: revisions,
    nodes,
    at: now,
  }
}

function makeNodeStatus(
  name: string,
  want: Want | undefined,
  report: NodeReport | undefined,
  now: number,
): NodeStatus {
  return {
    name,
    state: judgeNode(want, report, now),
    wanted:
      want === undefined
        ? null
        : { generation: want.generation, revision: want.revision, stateDigest: want.stateDigest },
    reported: report?.want ?? null,
    reportAge: report === undefined ? null : Math.max(0, now - report.at),
    failures: report?.failures ?? [],
    drift: report?.drift ?? [],
    ringsDigest: report?.ringsDigest ?? null,
    facts: report?.facts ?? {},
  }
}

function judgeNode(want: Want | undefined, report: NodeReport | undefined, now: number): NodeCondition {
  if (report === undefined) return 'unseen'
  if (now - report.at > SILENT_AFTER_MS) return 'silent'
  if (want === undefined) return report.want === null ? 'unassigned' : 'leaving'
  if (report.outcome === 'refused') return 'failed'
  if (report.want === null || report.want.generation < want.generation) return 'converging'
  if (report.drift.some(({ healedAt }) => healedAt === null)) return 'drifted'
  if (report.outcome === 'applied') return 'in-sync'
  return report.outcome === 'failed' ? 'failed' : 'converging'
}
