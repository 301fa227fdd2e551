import { serviceId } from '../../schemas/address.ts'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { FleetPlan, ServicePlan } from '../../schemas/plan.ts'
import type { Rollout, RolloutPreview } from '../../schemas/rollout.ts'
import { announcersOf } from './find-losses.ts'
import { findFrozen } from './freeze.ts'
import { MEASURED_GATES } from './judge-traffic.ts'
import { type Candidate, startRollout } from './start-rollout.ts'

export interface PreviewInput {
  /** What is accepted; null: nothing. */
  readonly base: Candidate | null
  readonly target: Candidate
  readonly plan: Pick<FleetPlan, 'services'>
  readonly refusals: readonly Diagnostic[]
  readonly freezeOverride: string | null
  /** ms since the epoch. */
  readonly now: number
}

/** What would become of the revision if it were pushed now, and nothing else were under way. */
export function previewRollout({
  base,
  target,
  plan,
  refusals,
  freezeOverride,
  now,
}: PreviewInput): RolloutPreview {
  const rollout = startRollout({ base, target, previous: 'none', held: new Set(), freezeOverride, now })
  const changed = rollout.nodes.map(({ name }) => name)
  return {
    refusals: [...refusals],
    waves: rollout.waves
      .map((name, wave) => ({
        name,
        nodes: rollout.nodes.filter(node => node.wave === wave).map(node => node.name),
      }))
      .filter(({ nodes }) => nodes.length > 0),
    bake_ms: rollout.bakeMs,
    max_in_change: rollout.maxInChange,
    splits: findSplits(rollout, target, plan.services),
    unjudged: findUnjudged(rollout, [target, base], plan.services),
    frozen: freezeOverride === null ? findFrozen(rollout.freeze, changed, now) : [],
    freeze_override: freezeOverride,
  }
}

/**
 * A flow that is moved finds another backend when its slot has one and the two nodes are on different sides:
 * of k changed among n, one of them before and one after with a chance of 2 · k/n · (n−k)/n.
 */
function findSplits(
  rollout: Rollout,
  target: Candidate,
  services: readonly ServicePlan[],
): RolloutPreview['splits'] {
  const moving = services.filter(({ change, impact }) => change === 'update' && impact.moved > 0)
  const announcers = moving.length === 0 ? new Map() : announcersOf(target.fleet)
  return moving.flatMap(({ service, vip, impact }) => {
    const nodes: ReadonlySet<string> = announcers.get(vip)?.nodes ?? new Set()
    return rollout.waves.slice(0, -1).flatMap((name, wave) => {
      const own = rollout.nodes.filter(node => nodes.has(node.name))
      const changed = own.filter(node => node.wave <= wave).length
      if (changed === 0 || changed === nodes.size || !own.some(node => node.wave === wave)) return []
      const share = changed / nodes.size
      const at_risk = (impact.moved / impact.slots) * 2 * share * (1 - share)
      return [{ service, vip, wave: name, changed, announcers: nodes.size, at_risk }]
    })
  })
}

function findUnjudged(
  { gates }: Rollout,
  sides: readonly (Candidate | null)[],
  services: readonly ServicePlan[],
): RolloutPreview['unjudged'] {
  if (gates === null) return []
  const isIpvs = (node: string, key: RowKey): boolean =>
    sides.some(side => side?.fleet.nodes.get(node)?.state.tables.ipvs[key] !== undefined)
  return services.flatMap(plan => {
    if (plan.change === 'unchanged') return []
    const { service, vip, port, protocol, endPort } = plan
    const key: RowKey = `service/${serviceId(vip, port, protocol, endPort)}`
    const nodes = plan.nodes.filter(node => isIpvs(node, key))
    if (nodes.length === 0) return []
    const probed = gates.probes.some(probe => probe.address === vip && probe.port === port)
    return [{ service, vip, nodes, gates: [...MEASURED_GATES], probed }]
  })
}
