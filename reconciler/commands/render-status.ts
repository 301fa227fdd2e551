import { styleText } from 'node:util'
import Table from 'cli-table3'
import type { Pause } from '../../schemas/drift-policy.ts'
import type { FleetStatus, NodeCondition, NodeStatus } from '../../schemas/fleet-status.ts'
import type { DriftItem } from '../../schemas/report.ts'
import type { RevisionState, SourceProblem } from '../../schemas/revision-state.ts'
import type { Rollout } from '../../schemas/rollout.ts'
import { describeDrift, differingFields } from '../drift/describe-drift.ts'
import { renderDiagnostic } from '../manifest/render-diagnostic.ts'
import { describeFrozen } from '../render/rollout-words.ts'
import { renderAge, shortRevision } from './print.ts'
import { renderHold } from './render-hold.ts'

const COLORS: { readonly [S in NodeCondition]: Parameters<typeof styleText>[0] } = {
  'in-sync': 'green',
  converging: 'yellow',
  drifted: 'red',
  failed: 'red',
  silent: 'red',
  unseen: 'yellow',
  leaving: 'yellow',
  unassigned: 'yellow',
}

/** Of a revision that is refused. */
const ERRORS_SHOWN = 20

type Paint = (style: Parameters<typeof styleText>[0], text: string) => string

/** For a terminal: the repository, a table of nodes, then each thing that is wrong, with the difference itself. */
export function renderStatus(status: FleetStatus, { color }: { color: boolean }): string {
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text)
  const ofFleet = (status.fleetDrift ?? []).map(record =>
    paint('red', `${describeDrift(record)}, for ${renderAge(status.at - record.since)}`),
  )
  const details = [...ofFleet, ...status.nodes.flatMap(node => renderDetails(node, status.at, paint))]
  const parts = [renderRepository(status, paint), renderNodes(status, paint), details.join('\n')]
  return `${parts.filter(part => part !== '').join('\n\n')}\n`
}

function renderRepository({ repository, rollout, frozen, holds, at }: FleetStatus, paint: Paint): string {
  if (repository === null) return 'No reconciler has written here yet.'
  const lines = [
    `accepted  ${shortRevision(repository.accepted)}   (looked ${renderAge(at - repository.at)} ago)`,
  ]
  lines.push(...repository.problems.map(each => paint('red', `frozen    ${renderFault(each, at)}`)))
  lines.push(...renderPull(repository.pull, at, paint))
  if (repository.rejected !== null) {
    const { revision, diagnostics, at: since } = repository.rejected
    lines.push(
      paint(
        'red',
        `refused   ${shortRevision(revision)}   ${renderAge(at - since)} ago; what was accepted stays`,
      ),
    )
    const errors = diagnostics.filter(({ severity }) => severity === 'error')
    lines.push(...errors.slice(0, ERRORS_SHOWN).map(each => `  ${renderDiagnostic(each)}`))
    if (errors.length > ERRORS_SHOWN)
      lines.push(
        `  and ${errors.length - ERRORS_SHOWN} more: ballast validate, or status --json, has them all`,
      )
  }
  if (rollout !== undefined && rollout.state !== 'done') lines.push(renderRollout(rollout, at, paint))
  lines.push(...(frozen ?? []).map(each => paint('yellow', `waiting   ${describeFrozen(each)}`)))
  lines.push(...(holds ?? []).map(hold => paint('yellow', `held      ${renderHold(hold)}`)))
  return lines.join('\n')
}

/** What is done about a failed one in Git; empty: nothing is to be done. */
function describeRevert({ onFailure, base, reverted, revertPull }: Rollout): string[] {
  if (onFailure === 'stop' || base === null || reverted === '') return []
  if (reverted === null) return ['a commit that takes it back is being pushed; the log says what keeps it']
  return [`taken back on branch ${reverted}${revertPull === null ? '' : `: ${revertPull}`}`]
}

function renderRollout(rollout: Rollout, at: number, paint: Paint): string {
  const { target, state, wave, waves, nodes, bakingSince, bakeMs, failure } = rollout
  const changed = nodes.filter(
    ({ side, changingSince }) => side === 'target' && changingSince === null,
  ).length
  const head = `rollout   ${shortRevision(target)}  `
  if (state === 'failed')
    return [
      paint('red', `${head} stopped, and put back: ${failure?.message}`),
      ...describeRevert(rollout).map(line => paint('red', `          ${line}`)),
    ].join('\n')
  const baking =
    bakingSince === null ? '' : `, baking for another ${renderAge(Math.max(0, bakingSince + bakeMs - at))}`
  const place = `wave ${wave + 1} of ${waves.length} (${waves[wave]})`
  return paint('yellow', `${head} ${place}: ${changed} of ${nodes.length} nodes changed${baking}`)
}

function renderPull(pull: RevisionState['pull'], at: number, paint: Paint): string[] {
  if (pull === null) return []
  const pulled = pull.lastAt === null ? 'never' : `${renderAge(at - pull.lastAt)} ago`
  if (pull.error === null) return [`pulled    ${pulled}`]
  const fault = { ...pull.error, rule: pull.error.code }
  return [paint('red', `pulled    ${pulled}; failing ${renderFault(fault, at)}`)]
}

const renderFault = ({ rule, message, hint, since }: SourceProblem, at: number): string =>
  `for ${renderAge(at - since)}  ${rule}: ${message} ${hint}`

function renderNodes({ nodes }: FleetStatus, paint: Paint): string {
  if (nodes.length === 0) return 'No nodes yet.'
  const table = new Table({
    head: ['node', 'state', 'revision', 'generation', 'rings', 'report'],
    style: { head: [], border: [], compact: true },
    chars: BORDERLESS,
  })
  for (const node of nodes) {
    table.push([
      node.name,
      paint(COLORS[node.state], node.state),
      shortRevision(node.reported?.revision ?? null),
      String(node.reported?.generation ?? '–'),
      node.ringsDigest?.slice(0, 8) ?? '–',
      node.reportAge === null ? 'never' : `${renderAge(node.reportAge)} ago`,
    ])
  }
  return table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')
}

const BORDERLESS = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
    .map(part => [part, '']),
)

function renderDetails(node: NodeStatus, now: number, paint: Paint): string[] {
  return [
    ...(node.paused === undefined ? [] : [paint('yellow', renderPause(node.name, node.paused, now))]),
    ...node.failures.map(({ key, code, message, hint }) =>
      paint('red', `${node.name}  failed  ${key}  ${code}: ${message}. ${hint}`),
    ),
    ...node.drift.flatMap(item => renderDrift(node.name, item, now, paint)),
  ]
}

const renderPause = (node: string, { by, until, why }: Pause, now: number): string =>
  `${node}  paused by ${by} for another ${renderAge(until - now)}: ${why}`

function renderDrift(node: string, item: DriftItem, now: number, paint: Paint): string[] {
  const { driver, key, kind, since, healedAt } = item
  const when =
    healedAt === null
      ? `for ${renderAge(now - since)}`
      : `healed ${renderAge(now - healedAt)} ago, after ${renderAge(healedAt - since)}`
  const head = `${node}  drift  ${driver} ${key}  ${kind}  ${when}`
  return [
    paint(healedAt === null ? 'red' : 'dim', head),
    ...differingFields(item).map(
      ([field, desired, observed]) => `    ${field}: wanted ${desired}, found ${observed}`,
    ),
  ]
}
