import { styleText } from 'node:util'
import type { AnnouncementPlan, BackendShare, FleetPlan, ServicePlan } from '../../schemas/plan.ts'
import { explainRisk } from '../plan/assess-risk.ts'
import { describeDuration, describeHeadline, describeRollout, weightOf } from './rollout-words.ts'
import {
  changedServices,
  describeFlows,
  describeLive,
  describeLoad,
  describeMoves,
  describeNodes,
  describeRename,
  describeTotals,
  groupAlike,
  idOf,
  listNames,
  othersOf,
  percent,
  shortDigest,
  shortRevision,
} from './words.ts'

const MARKS = { create: '+', update: '~', delete: '-', unchanged: ' ', rename: '>' } as const
const COLORS = {
  create: 'green',
  update: 'yellow',
  delete: 'red',
  unchanged: 'gray',
  rename: 'cyan',
} as const
const SEVERITY_COLORS = { high: 'red', medium: 'yellow', low: 'cyan' } as const
/** Backends, and pairs of them, listed for one service; the rest are counted. */
const BACKENDS_SHOWN = 20
const MOVES_SHOWN = 5

type Paint = (color: Parameters<typeof styleText>[0], text: string) => string

/** For a terminal. What does not change is counted, not shown. */
export function renderTerminal(plan: FleetPlan, { color }: { color: boolean }): string {
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text)
  const severity = weightOf(plan)
  const services = changedServices(plan)
  const others = othersOf(plan.services, idOf)
  const silent = plan.objects.filter(({ effect }) => effect === 'none')
  const [refused = [], goesOut = []] = [true, false].map(is =>
    describeRollout(plan).filter(({ kind }) => (kind === 'refused') === is),
  )
  const lines = [
    paint(severity === null ? 'green' : SEVERITY_COLORS[severity], describeHeadline(plan)),
    `${shortRevision(plan.base)} → ${shortRevision(plan.head)}`,
    '',
    ...refused.map(({ text }) => paint('red', text)),
    '',
    ...groupAlike(services).flatMap(alike => [
      ...alike.map(service => renderTitle(service, others(service), paint)),
      ...renderEffect(alike[0]!, paint),
      '',
    ]),
    ...plan.announcements.flatMap(each => renderAnnouncement(each, paint)),
    ...renderNodes(plan, paint),
    ...silent.map(({ kind, name, change, at }) =>
      paint('gray', `${MARKS[change]} ${kind} ${name}  ${at.file}:${at.line}  no traffic effect`),
    ),
    ...describeLive(plan).map(text => `! ${text}`),
    ...goesOut.map(({ text }) => text),
    '',
    `Plan: ${describeTotals(plan)}`,
    `Takes: ${describeDuration(plan)}.`,
    ...(plan.revert === null ? [] : [`Way back: ${plan.revert}`]),
    `Digest: ${shortDigest(plan.digest)}`,
  ]
  return `${lines.join('\n').replaceAll(/\n{3,}/g, '\n\n')}\n`
}

function renderTitle(plan: ServicePlan, others: readonly string[], paint: Paint): string {
  const { change, renamed_from, nodes, node_count } = plan
  const mark = renamed_from === null ? change : change === 'unchanged' ? 'rename' : change
  const where = describeNodes(nodes, node_count, others)
  return paint(COLORS[mark], `${MARKS[mark]} ${plan.service}  ${idOf(plan)}  ${where}`)
}

function renderEffect(plan: ServicePlan, paint: Paint): string[] {
  const { impact, live } = plan
  const notes = [
    describeRename(plan),
    describeMoves(plan),
    ...(live === null ? [] : [describeFlows(live), describeLoad(live)]),
    ...plan.details,
  ].filter(note => note !== null)
  return [
    ...plan.risk.map(risk => `    ! ${risk}: ${explainRisk(risk)}`),
    ...notes.map(note => `    ${note}`),
    ...renderBackends(impact.backends, paint),
    ...renderMoves(plan),
  ]
}

function renderBackends(backends: readonly BackendShare[], paint: Paint): string[] {
  const changed = backends.filter(each => each.share_before !== each.share_after)
  const lines = changed.slice(0, BACKENDS_SHOWN).map(backend => {
    const change = backend.share_before === 0 ? 'create' : backend.share_after === 0 ? 'delete' : 'update'
    const shares = `${percent(backend.share_before)} → ${percent(backend.share_after)}`
    return paint(COLORS[change], `    ${MARKS[change]} ${backend.address.padEnd(24)} ${shares}`)
  })
  const more = changed.length - BACKENDS_SHOWN
  return more > 0 ? [...lines, `      and ${more} more backends`] : lines
}

function renderMoves({ impact: { moves, slots } }: ServicePlan): string[] {
  const lines = moves
    .slice(0, MOVES_SHOWN)
    .map(
      ({ from, to, slots: some }) => `    ${from ?? 'nobody'} → ${to ?? 'nobody'}: ${percent(some / slots)}`,
    )
  const more = moves.length - MOVES_SHOWN
  return more > 0 ? [...lines, `    and ${more} more ${more === 1 ? 'pair' : 'pairs'}`] : lines
}

function renderAnnouncement(plan: AnnouncementPlan, paint: Paint): string[] {
  const { prefix, announced_on, withdrawn_on, before, after, last_announcer } = plan
  return [
    `~ route ${prefix}  announced by ${before} → ${after} nodes`,
    ...(announced_on.length > 0 ? [paint('green', `    + announced on ${listNames(announced_on)}`)] : []),
    ...(withdrawn_on.length > 0 ? [paint('red', `    - withdrawn on ${listNames(withdrawn_on)}`)] : []),
    ...(last_announcer ? [`    ! last-announcer: ${explainRisk('last-announcer')}`] : []),
  ]
}

function renderNodes({ nodes }: FleetPlan, paint: Paint): string[] {
  const others = othersOf(nodes, ({ driver, key }) => `${driver} ${key}`)
  return nodes.flatMap(each => [
    paint(
      COLORS[each.change],
      `${MARKS[each.change]} ${each.driver} ${each.key}  ${describeNodes(each.nodes, each.node_count, others(each))}`,
    ),
    ...each.risk.map(risk => `    ! ${risk}: ${explainRisk(risk)}`),
    ...each.details.map(detail => `    ${detail}`),
  ])
}
