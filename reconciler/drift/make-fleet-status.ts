import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { FleetStatus, NodeCondition, NodeStatus } from '../../schemas/fleet-status.ts'
import type { Hold } from '../../schemas/hold.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { RevisionState } from '../../schemas/revision-state.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import type { Want } from '../../schemas/want.ts'
import { frozenOf } from '../rollout/freeze.ts'
import { SILENT_AFTER_MS } from './find-fleet-drift.ts'

export interface FleetView {
  readonly revisions: RevisionState | null
  readonly wants: ReadonlyMap<string, Want>
  readonly reports: ReadonlyMap<string, NodeReport>
  readonly rollout?: Rollout | null
  readonly holds?: readonly Hold[]
  /** What only the fleet as a whole shows, open or healed. */
  readonly fleetDrift?: readonly DriftRecord[]
  /** ms since the epoch. */
  readonly now: number
}

/** Joins what is wanted with what was reported, node by node. */
export function makeFleetStatus(view: FleetView): FleetStatus {
  const { revisions, wants, reports, rollout = null, holds = [], now } = view
  const fleetDrift = (view.fleetDrift ?? []).filter(({ healedAt }) => healedAt === null)
  const names = [...new Set([...wants.keys(), ...reports.keys()])].sort()
  const nodes = names.map(name => {
    const kinds = fleetDrift.filter(({ node }) => node === name).map(({ kind }) => kind)
    return makeNodeStatus({ name, want: wants.get(name), report: reports.get(name), kinds, now })
  })
  const frozen = rollout !== null && isInForce(rollout, revisions) ? frozenOf(rollout, now) : []
  const accepted = revisions === null || (revisions.rejected === null && revisions.problems.length === 0)
  return {
    inSync: accepted && !isUnderWay(rollout, revisions) && nodes.every(({ state }) => state === 'in-sync'),
    repository: revisions,
    ...(rollout !== null && { rollout }),
    ...(frozen.length > 0 && { frozen }),
    ...(holds.length > 0 && { holds: [...holds] }),
    nodes,
    ...(fleetDrift.length > 0 && { fleetDrift }),
    at: now,
  }
}

/** A record that what is accepted has left behind says nothing any more. */
const isInForce = ({ state, base, target }: Rollout, revisions: RevisionState | null): boolean =>
  (state === 'done' ? target : base) === (revisions?.accepted ?? null)

const isUnderWay = (rollout: Rollout | null, revisions: RevisionState | null): boolean =>
  rollout !== null && rollout.state !== 'done' && isInForce(rollout, revisions)

interface NodeView {
  readonly name: string
  readonly want: Want | undefined
  readonly report: NodeReport | undefined
  /** Of the open drift of the fleet, those of this node. */
  readonly kinds: readonly DriftRecord['kind'][]
  readonly now: number
}

function makeNodeStatus(view: NodeView): NodeStatus {
  const { name, want, report, now } = view
  return {
    name,
    state: judgeNode(view),
    wanted:
      want === undefined
        ? null
        : { generation: want.generation, revision: want.revision, stateDigest: want.stateDigest },
    reported: report?.want ?? null,
    reportAge: report === undefined ? null : Math.max(0, now - report.at),
    failures: report?.failures ?? [],
    drift: report?.drift ?? [],
    ringsDigest: report?.ringsDigest ?? null,
    ...(report?.paused && now < report.paused.until && { paused: report.paused }),
    facts: report?.facts ?? {},
  }
}

function judgeNode({ want, report, kinds, now }: NodeView): NodeCondition {
  if (report === undefined) return 'unseen'
  if (kinds.includes('unreachable') || now - report.at > SILENT_AFTER_MS) return 'silent'
  if (want === undefined) return report.want === null ? 'unassigned' : 'leaving'
  if (report.outcome === 'refused') return 'failed'
  if (report.want === null || report.want.generation < want.generation) return 'converging'
  if (kinds.includes('rings-disagree')) return 'drifted'
  if (report.drift.some(({ healedAt }) => healedAt === null)) return 'drifted'
  if (report.outcome === 'applied') return 'in-sync'
  return report.outcome === 'failed' ? 'failed' : 'converging'
}
