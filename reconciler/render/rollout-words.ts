import type { Position } from '../../schemas/diagnostic.ts'
import type { FleetPlan, Severity } from '../../schemas/plan.ts'
import type { FrozenNodes, RolloutPreview } from '../../schemas/rollout.ts'
import { listNames, percent } from './words.ts'

/** One thing that is said of how a revision would go out. */
export interface RolloutNote {
  /** `refused`: it would not go out at all. */
  readonly kind: 'refused' | 'waves' | 'split' | 'unjudged' | 'frozen' | 'freeze-override' | 'review'
  /** Of a refusal, that of its diagnostic. */
  readonly rule: string
  readonly text: string
  readonly at: Position | null
}

const SPLITS_SHOWN = 5
/** Where the diagnostics of a guard are. */
const WHOLE_TREE = '.'

/** The line on top of every rendering: that it would be refused, then its risks. */
export function describeHeadline({ risk, rollout }: FleetPlan): string {
  const rules = [...new Set(rollout?.refusals.map(({ rule }) => rule))]
  return rules.length === 0 ? risk.line : `would be refused by ${listNames(rules)}; ${risk.line}`
}

/** That it would be refused weighs more than any risk. */
export const weightOf = ({ risk, rollout }: FleetPlan): Severity | null =>
  (rollout?.refusals.length ?? 0) > 0 ? 'high' : risk.severity

/** How long the change takes, and what it waits for on the way. */
export function describeDuration({ duration, rollout }: FleetPlan): string {
  if (duration.expected === 0) return 'no time: nothing is written on any node'
  const { expected, basis, waits } = duration
  const how = basis === 'measured' ? 'as the last change took' : 'by the number of edits'
  const time = expected < 1000 ? `${Math.round(expected)} ms` : `${(expected / 1000).toFixed(1)} s`
  const baking = ((rollout?.waves.length ?? 0) - 1) * (rollout?.bake_ms ?? 0)
  const frozen = rollout?.frozen.some(({ nodes }) => nodes.length > 0) ?? false
  return [
    `${time} to the last node (${how})`,
    ...(baking > 0 ? [`and ${describeSpan(baking)} of baking before the last wave`] : []),
    ...(frozen ? ['nodes that are frozen when their window ends'] : []),
    ...waits.map(wait => `then ${wait}`),
  ].join('; ')
}

/** What guards, waves and freeze windows make of a revision, weightiest first; empty: it goes to all nodes at once, and now. */
export function describeRollout({ rollout }: FleetPlan): RolloutNote[] {
  if (rollout === undefined) return []
  const { refusals, waves, max_in_change, splits, unjudged, frozen, freeze_override, bake_ms, needs_review } =
    rollout
  const most = splits.toSorted((a, b) => b.at_risk - a.at_risk)
  const note = (kind: Exclude<RolloutNote['kind'], 'refused'>, text: string): RolloutNote => ({
    kind,
    rule: `rollout-${kind}`,
    text,
    at: null,
  })
  return [
    ...refusals.map(
      ({ rule, message, hint, at }): RolloutNote => ({
        kind: 'refused',
        rule,
        text: `Refused by ${rule}: ${message} ${hint}`,
        at: at.file === WHOLE_TREE ? null : at,
      }),
    ),
    ...(needs_review === true
      ? [
          note(
            'review',
            'Taken after the merge only if a plan of this digest was recorded (requireReviewedPlan).',
          ),
        ]
      : []),
    ...frozen.map(each => note('frozen', `${describeFrozen(each)}.`)),
    ...(freeze_override === null
      ? []
      : [note('freeze-override', `Freeze windows do not count: ${freeze_override}`)]),
    ...(waves.length > 1 || (waves.length === 1 && max_in_change !== null)
      ? [note('waves', describeWaves(rollout))]
      : []),
    ...most
      .slice(0, SPLITS_SHOWN)
      .map(({ service, vip, wave, changed, announcers, at_risk }) =>
        note(
          'split',
          `While wave ${wave} bakes (${describeSpan(bake_ms)}), ${changed} of ${announcers} nodes of ${vip} (${service}) have changed: of flows that routers move between them, ${percent(at_risk)} meet another backend.`,
        ),
      ),
    ...(splits.length > SPLITS_SHOWN
      ? [note('split', `And ${splits.length - SPLITS_SHOWN} more VIPs and waves.`)]
      : []),
    ...[true, false].flatMap(probed => {
      const some = unjudged.filter(each => each.probed === probed)
      return some.length === 0 ? [] : [note('unjudged', describeUnjudged(some, probed))]
    }),
  ]
}

export function describeFrozen({ nodes, until, reasons = [] }: FrozenNodes): string {
  const why = reasons.length > 0 ? ` (${reasons.join(', ')})` : ''
  return until === null
    ? `${listNames(nodes)}: frozen${why}, and no window lets them change`
    : `${listNames(nodes)}: frozen until ${describeTime(until)}${why}; applied then`
}

function describeUnjudged(unjudged: RolloutPreview['unjudged'], probed: boolean): string {
  const services = listNames([...new Set(unjudged.map(({ service }) => service))])
  const blind = listNames([...new Set(unjudged.flatMap(({ gates }) => gates))])
  const left = probed
    ? 'applyFailures and probes judge it'
    : 'applyFailures alone judges it: no probe tries it'
  return `Nothing is counted of what IPVS forwards (${services}), so ${blind} cannot close for it; ${left}.`
}

const describeWaves = ({ waves, bake_ms, max_in_change }: RolloutPreview): string => {
  const each = waves.map(({ name, nodes }) => `${name} (${listNames(nodes)})`).join(' → ')
  const baking = waves.length > 1 && bake_ms > 0 ? `, each baking ${describeSpan(bake_ms)}` : ''
  const atOnce =
    max_in_change === null ? '' : `; at most ${max_in_change} of a VIP's nodes in change at a time`
  return `Waves: ${each}${baking}${atOnce}.`
}

/** `10 min`, `1 h 30 min`, `45 s`. */
function describeSpan(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.round((seconds % 3600) / 60)]
  return [hours > 0 ? `${hours} h` : '', minutes > 0 ? `${minutes} min` : '']
    .filter(part => part !== '')
    .join(' ')
}

/** To the minute, which is what schedules have. */
const describeTime = (ms: number): string =>
  `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
