import type { FleetPlan, ServicePlan } from '../../schemas/plan.ts'
import { explainRisk } from '../plan/assess-risk.ts'
import { describeDuration, describeHeadline, describeRollout, weightOf } from './rollout-words.ts'
import {
  changedServices,
  describeFlows,
  describeLive,
  describeLoad,
  describeMoved,
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

/** By which a comment is found again, to be edited in place; invisible where Markdown is shown. */
export const COMMENT_MARKER = '<!-- ballast-plan -->'

/** Bytes that the comment of a forge may have: 65,536 characters on GitHub and Gitea, more on GitLab. */
const LIMIT = 65_536

export interface MarkdownOptions {
  /** Where the whole plan is; null: nowhere. */
  readonly link: string | null
  readonly limit?: number
}

const MARKS = { create: '➕', update: '✏️', delete: '➖', unchanged: '➡️', rename: '➡️' } as const
const LIGHTS = { high: '🔴', medium: '🟠', low: '🟡' } as const
/** On top, of each kind: a guard can refuse every service of a fleet. */
const NOTES_SHOWN = 10
const BACKENDS_SHOWN = 50
const MOVES_SHOWN = 20

/**
 * For a comment in a forge: the most important on top, and what does not fit below the limit left out, whole blocks
 * at a time, with a link to the rest.
 */
export function renderMarkdown(plan: FleetPlan, { link, limit = LIMIT }: MarkdownOptions): string {
  const services = changedServices(plan)
  const others = othersOf(plan.services, idOf)
  const severity = weightOf(plan)
  const live = describeLive(plan).map(note => `\n> ⚠️ ${text(note)}`)
  const rollout = describeRollout(plan).map(
    note => `\n> ${note.kind === 'refused' ? '⛔ ' : ''}${text(note.text)}`,
  )
  const more = Math.max(live.length - NOTES_SHOWN, 0) + Math.max(rollout.length - NOTES_SHOWN, 0)
  const head = [
    COMMENT_MARKER,
    `### ${severity === null ? '🟢' : LIGHTS[severity]} Ballast plan: ${text(describeHeadline(plan))}`,
    '',
    ...plan.risk.rules.map(rule => `- **${rule}**: ${explainRisk(rule)}`),
    '',
    `${code(shortRevision(plan.base))} → ${code(shortRevision(plan.head))}: ${describeTotals(plan)}`,
    ...live.slice(0, NOTES_SHOWN),
    ...rollout.slice(0, NOTES_SHOWN),
    ...(more > 0 ? [`\n> And ${more} more of these at the end.`] : []),
    '',
  ].join('\n')
  const foot = [
    ...(plan.revert === null ? [] : ['', '**Way back**', '', '```sh', plan.revert, '```']),
    '',
    `Takes ${describeDuration(plan)}. Digest ${code(shortDigest(plan.digest))}.`,
    ...(link === null ? [] : [`[The whole plan](${link}).`]),
    '',
  ].join('\n')
  const rows = services.map(service => renderRow(service, others(service)))
  const blocks = [
    ...(rows.length > 0 ? [`\n${TABLE_HEAD}`, ...rows] : []),
    ...renderAnnouncements(plan),
    ...renderNodes(plan),
    ...groupAlike(services).map(renderDetails),
    ...renderObjects(plan),
    ...rollout.slice(NOTES_SHOWN),
    ...live.slice(NOTES_SHOWN),
  ]
  return fit({ head, blocks, foot, limit, link })
}

interface Fitted {
  readonly head: string
  readonly blocks: readonly string[]
  readonly foot: string
  readonly limit: number
  readonly link: string | null
}

function fit({ head, blocks, foot, limit, link }: Fitted): string {
  const size = (part: string): number => Buffer.byteLength(part) + 1
  const whole = [head, ...blocks, foot]
  if (whole.reduce((sum, part) => sum + size(part), 0) <= limit) return whole.join('\n')
  const cut = (left: number): string =>
    `\n_${left} parts of this plan are left out: the comment would be too long${link === null ? '' : `; [see all of it](${link})`}._\n`
  let room = limit - size(head) - size(foot) - size(cut(blocks.length))
  const kept: string[] = []
  for (const block of blocks) {
    room -= size(block)
    if (room < 0) break
    kept.push(block)
  }
  return [head, ...kept, cut(blocks.length - kept.length), foot].join('\n')
}

const TABLE_HEAD = [
  '| | service | VIP | new flows that move | unavoidable | live flows cut | risk | nodes |',
  '|---|---|---|---:|---:|---:|---|---|',
].join('\n')

function renderRow(plan: ServicePlan, others: readonly string[]): string {
  const { impact, live, change } = plan
  const minimum = change === 'update' ? percent(impact.minimum / impact.slots) : '–'
  const cells = [
    MARKS[change],
    code(plan.service),
    code(idOf(plan)),
    describeMoved(plan),
    minimum,
    live === null ? '–' : percent(live.flows_lost),
    plan.risk.join(', ') || (change === 'unchanged' ? 'no traffic effect' : ''),
    text(describeNodes(plan.nodes, plan.node_count, others)),
  ]
  return `| ${cells.map(cell => cell.replaceAll(/(?<!\\)\|/g, '\\|')).join(' | ')} |`
}

function renderDetails(alike: readonly ServicePlan[]): string {
  const plan = alike[0]!
  const { impact, live } = plan
  const names = alike.map(each => `<b>${each.service}</b> ${idOf(each)}`)
  const notes = [
    describeRename(plan),
    describeMoves(plan),
    ...(live === null ? [] : [describeFlows(live), describeLoad(live)]),
    ...plan.details,
  ].filter(note => note !== null)
  const changed = impact.backends.filter(each => each.share_before !== each.share_after)
  const backends = changed
    .slice(0, BACKENDS_SHOWN)
    .map(each => `| ${code(each.address)} | ${percent(each.share_before)} | ${percent(each.share_after)} |`)
  const moves = impact.moves
    .slice(0, MOVES_SHOWN)
    .map(
      each =>
        `| ${code(each.from ?? 'nobody')} | ${code(each.to ?? 'nobody')} | ${percent(each.slots / impact.slots)} |`,
    )
  const more = (left: number, what: string): string[] => (left > 0 ? ['', `and ${left} more ${what}`] : [])
  return [
    '',
    `<details><summary>${MARKS[plan.change]} ${listNames(names)}</summary>`,
    '',
    ...notes.map(note => `- ${text(note)}`),
    ...(backends.length > 0
      ? ['', '| backend | share before | after |', '|---|---:|---:|', ...backends]
      : []),
    ...more(changed.length - BACKENDS_SHOWN, 'backends'),
    ...(moves.length > 0 ? ['', '| from | to | new flows |', '|---|---|---:|', ...moves] : []),
    ...more(impact.moves.length - MOVES_SHOWN, 'pairs'),
    '',
    '</details>',
  ].join('\n')
}

const renderAnnouncements = ({ announcements }: FleetPlan): string[] =>
  announcements.length === 0
    ? []
    : [
        '\n**Announcements**\n',
        ...announcements.map(each => {
          const changes = [
            ...(each.announced_on.length > 0 ? [`announced on ${listNames(each.announced_on)}`] : []),
            ...(each.withdrawn_on.length > 0 ? [`withdrawn on ${listNames(each.withdrawn_on)}`] : []),
          ]
          const last = each.last_announcer ? ' **nobody announces it any more**' : ''
          return `- ${code(each.prefix)}: ${changes.join('; ')} (${each.before} → ${each.after} nodes)${last}`
        }),
      ]

function renderNodes({ nodes }: FleetPlan): string[] {
  if (nodes.length === 0) return []
  const others = othersOf(nodes, ({ driver, key }) => `${driver} ${key}`)
  return [
    '\n**Nodes**\n',
    ...nodes.map(each => {
      const where = text(describeNodes(each.nodes, each.node_count, others(each)))
      const details = each.details.map(detail => `\n  - ${code(detail)}`).join('')
      return `- ${MARKS[each.change]} ${code(`${each.driver} ${each.key}`)} ${where}${details}`
    }),
  ]
}

function renderObjects({ objects }: FleetPlan): string[] {
  const silent = objects.filter(({ effect }) => effect === 'none')
  if (silent.length === 0) return []
  return [
    '\n**Without traffic effect**\n',
    ...silent.map(
      ({ kind, name, change, at }) => `- ${MARKS[change]} ${kind} ${code(name)} (${code(at.file)})`,
    ),
  ]
}

/** Between backquotes, one more of them than the text has in a row (CommonMark, 6.1). */
function code(value: string): string {
  const flat = value.replaceAll(/[\r\n]+/g, ' ')
  const longest = [...flat.matchAll(/`+/g)].reduce((most, [run]) => Math.max(most, run.length), 0)
  const fence = '`'.repeat(longest + 1)
  const space = longest > 0 ? ' ' : ''
  return `${fence}${space}${flat}${space}${fence}`
}

/** What people wrote is shown as it is: no markup, no mention of anybody, no link. */
const text = (value: string): string =>
  value
    .replaceAll(/[\r\n]+/g, ' ')
    .replaceAll(/[&<>]/g, char => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char]!)
    .replaceAll(/[\\`*_[\]|~]/g, '\\$&')
    // Forges look for these in what is already rendered: a space without width is between.
    .replaceAll(/[@#]|:(?=\/\/)/g, '$&\u200b')
