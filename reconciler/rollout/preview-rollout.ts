import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { FleetPlan, ServicePlan } from '../../schemas/plan.ts'
import type { Rollout, RolloutPreview } from '../../schemas/rollout.ts'
import { announcersOf } from './find-losses.ts'
import { freezeAt, type ResolvedWindow, thawsAt } from './freeze.ts'
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

function findFrozen(
  windows: readonly ResolvedWindow[],
  nodes: readonly string[],
  now: number,
): RolloutPreview['frozen'] {
  const isFrozen = freezeAt(windows, now)
  const groups = new Map<string, { nodes: string[]; until: number | null }>()
  for (const node of nodes.filter(isFrozen)) {
    // Nodes of the same windows thaw together.
    const key = windows.map(window => (window.nodes === null || window.nodes.includes(node) ? 1 : 0)).join('')
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { nodes: [node], until: thawsAt(windows, node, now) })
    else group.nodes.push(node)
  }
  return [...groups.values()]
}

const NODES_SHOWN = 5
const SPLITS_SHOWN = 5

/** In words, one line each; empty: it goes to all nodes at once, and now. */
export function describePreview({ rollout }: FleetPlan): string[] {
  if (rollout === undefined) return []
  const { refusals, waves, bake_ms, max_in_change, splits, frozen, freeze_override } = rollout
  const most = splits.toSorted((a, b) => b.at_risk - a.at_risk)
  return [
    ...refusals.map(({ rule, message, hint }) => `Refused by ${rule}: ${message} ${hint}`),
    ...(waves.length > 1 || max_in_change !== null ? [describeWaves(rollout)] : []),
    ...most
      .slice(0, SPLITS_SHOWN)
      .map(
        ({ service, vip, wave, changed, announcers, at_risk }) =>
          `While wave ${wave} bakes (${bake_ms / 1000} s), ${changed} of ${announcers} nodes of ${vip} (${service}) have changed: of flows that routers move between them, ${percent(at_risk)} meet another backend.`,
      ),
    ...(splits.length > SPLITS_SHOWN ? [`And ${splits.length - SPLITS_SHOWN} more VIPs and waves.`] : []),
    ...frozen.map(({ nodes, until }) =>
      until === null
        ? `${list(nodes)}: frozen, and no window lets them change.`
        : `${list(nodes)}: frozen until ${new Date(until).toISOString()}; applied then.`,
    ),
    ...(freeze_override === null ? [] : [`Freeze windows do not count: ${freeze_override}`]),
  ]
}

const describeWaves = ({ waves, bake_ms, max_in_change }: RolloutPreview): string => {
  const each = waves.map(({ name, nodes }) => `${name} (${list(nodes)})`).join(' → ')
  const atOnce =
    max_in_change === null ? '' : `; at most ${max_in_change} of a VIP's nodes in change at a time`
  return `Waves: ${each}, each baking ${bake_ms / 1000} s${atOnce}.`
}

const list = (names: readonly string[]): string =>
  names.slice(0, NODES_SHOWN).join(', ') +
  (names.length > NODES_SHOWN ? ` and ${names.length - NODES_SHOWN} more` : '')

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
