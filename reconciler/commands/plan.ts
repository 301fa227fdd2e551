import { writeFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import type { FleetPlan } from '../../schemas/plan.ts'
import { keepPlan } from '../plan/reviewed-plan.ts'
import { withoutUnchanged } from '../render/words.ts'
import { makePlan } from './make-plan.ts'
import { openBoard, REDIS_SETTINGS } from './open-board.ts'
import { openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, useColor } from './print.ts'
import { readObservedFleet } from './read-live-fleet.ts'
import { VERSION } from './version.ts'

const SETTINGS = [...SOURCE_SETTINGS, 'path', ...REDIS_SETTINGS] as const

const FORMATS = ['terminal', 'markdown', 'json', 'junit', 'sarif', 'html'] as const
type Format = (typeof FORMATS)[number]

export const planCommand = (): Command =>
  addSettings(new Command('plan'), SETTINGS)
    .description('Say what a revision does to live traffic, before it does it.')
    .option('--from <revision>', 'compare with this revision instead of the live fleet')
    .option('--to <revision>', 'the revision to plan for; the head of the branch when left out')
    .option('--live', 'with --from: say too what it does to the flows that are there, and what has drifted')
    .addOption(new Option('--format <format>', 'how the plan is shown').choices(FORMATS).default('terminal'))
    .option('--json', 'print the plan as one JSON value (docs/plan.md): short for --format json')
    .option('--changed', 'in JSON: without the services that stay as they are on all nodes')
    .option('--output <file>', 'write it to a file')
    .option('--html <file>', 'write it as a page with pictures, too')
    .option('--link <url>', 'where the whole plan is, for a Markdown comment that must be cut')
    .option('--record', 'keep the plan as reviewed, for requireReviewedPlan (docs/plan.md)')
    .addHelpText('after', '\nExit codes: 0 nothing to do, 2 changes, 1 the plan cannot be made.')
    .action(async (options: PlanOptions, command: Command) => {
      process.exitCode = await plan(options, command)
    })

interface PlanOptions {
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly live?: boolean
  readonly format: Format
  readonly json?: boolean | undefined
  readonly changed?: boolean | undefined
  readonly output?: string | undefined
  readonly html?: string | undefined
  readonly link?: string | undefined
  readonly record?: boolean | undefined
}

async function plan(options: PlanOptions, command: Command): Promise<number> {
  const { from, to, live = false, record = false } = options
  if (options.changed === true && options.json !== true && options.format !== 'json')
    throw new CommandFailure('--changed is of JSON: give --json too.')
  const settings = readSettings(command, SETTINGS, ['repo'])
  const source = await openConfiguredSource(settings, createCommandLog())
  const asksLive = live || from === undefined
  const board = asksLive || record ? openBoard(settings, createCommandLog()) : null
  try {
    await source.pull()
    const made = await makePlan({
      source,
      path: settings.path,
      from,
      to,
      readObserved: board === null || !asksLive ? undefined : () => readObservedFleet(board, Date.now()),
    })
    const text = await render(made.plan, options)
    if (options.output === undefined) process.stdout.write(text)
    else await writeFile(options.output, text)
    if (options.html !== undefined) await writeFile(options.html, await render(made.plan, { format: 'html' }))
    if (record && board !== null) await board.reviews.put(keepPlan(made, 'plan', Date.now()))
    return isEmptyPlan(made.plan) ? 0 : 2
  } finally {
    board?.close()
    await source.close()
  }
}

export const isEmptyPlan = ({ totals, nodes, announcements }: FleetPlan): boolean =>
  totals.create + totals.update + totals.delete + nodes.length + announcements.length === 0

/** Each is loaded when asked for: the pictures' library takes longer to load than a plan of a small fleet. */
async function render(made: FleetPlan, options: PlanOptions): Promise<string> {
  const { format, json, changed, link, output } = options
  switch (json === true ? 'json' : format) {
    case 'json':
      // On one line: that of a large fleet is long enough without spaces.
      return `${JSON.stringify(changed === true ? withoutUnchanged(made) : made)}\n`
    case 'markdown':
      return (await import('../render/render-markdown.ts')).renderMarkdown(made, { link: link ?? null })
    case 'junit':
      return (await import('../render/render-junit.ts')).renderJunit(made)
    case 'sarif':
      return (await import('../render/render-sarif.ts')).renderSarif(made, VERSION)
    case 'html':
      return await (await import('../render/render-html.ts')).renderHtml(made)
    case 'terminal': {
      const { renderTerminal } = await import('../render/render-terminal.ts')
      return renderTerminal(made, { color: output === undefined && useColor(process.stdout) })
    }
  }
}
