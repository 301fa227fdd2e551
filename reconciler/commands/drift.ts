import { setTimeout as delay } from 'node:timers/promises'
import { styleText } from 'node:util'
import { Command } from 'commander'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import type { NodeReport } from '../../schemas/report.ts'
import {
  describeDrift,
  describeEnd,
  describeHold,
  differingFields,
  renderDuration,
} from '../drift/describe-drift.ts'
import { findUnreachable } from '../drift/find-fleet-drift.ts'
import { recordsOf } from '../drift/fleet-drift.ts'
import { nameDrift } from '../drift/name-drift.ts'
import { createEffectMeter } from '../drift/traffic-effect.ts'
import { readListening } from '../queue/presence.ts'
import { type OpenBoard, openBoard, REDIS_SETTINGS } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, useColor } from './print.ts'

const SETTINGS = ['stateDir', ...REDIS_SETTINGS] as const
const LOOK_MS = 1_000

interface DriftOptions {
  readonly node?: string
  readonly all?: boolean
  readonly watch?: boolean
  readonly json?: boolean
}

export const driftCommand = (): Command =>
  addSettings(new Command('drift'), SETTINGS)
    .description('Show what differs on the nodes from what Git wants, and what that does to traffic.')
    .option('--node <name>', 'this node alone')
    .option('--all', 'also what healed in the last hour')
    .option('--watch', 'show it again whenever it changes, until interrupted')
    .option(
      '--json',
      'print one JSON value, with --watch one line for each: {drift} (schemas/drift-record.ts)',
    )
    .addHelpText('after', '\nExit codes: 0 no drift, 2 drift, 1 it cannot be read.')
    .action(async (options: DriftOptions, command: Command) => {
      process.exitCode = await showDrift(options, command)
    })

async function showDrift(options: DriftOptions, command: Command): Promise<number> {
  const board = openBoard(readSettings(command, SETTINGS), createCommandLog())
  const measure = createEffectMeter()
  let shown = ''
  try {
    for (;;) {
      const read = await readReports(board, options.watch === true)
      const reports = [...read.values()]
      if (options.node !== undefined && options.watch !== true && !read.has(options.node))
        throw new CommandFailure(`No node ${options.node} has reported.`)
      const nodes = reports.map(({ node }) => node)
      const listening = await readListening(board.connection, nodes).catch(() => null)
      const findSilent = (report: NodeReport): DriftRecord[] => {
        const isDeaf = listening !== null && !listening.has(report.node)
        return [findUnreachable(report, Date.now(), isDeaf ? report.at : null) ?? []].flat()
      }
      const records = reports
        .filter(({ node }) => options.node === undefined || node === options.node)
        .flatMap(report => [...recordsOf(report, {}, measure), ...findSilent(report)])
        .filter(({ healedAt }) => options.all === true || healedAt === null)
        .sort((a, b) => a.node.localeCompare(b.node) || a.since - b.since)
      const text = JSON.stringify({ drift: records })
      if (text !== shown) print(records, options)
      shown = text
      if (options.watch !== true) return records.some(({ healedAt }) => healedAt === null) ? 2 : 0
      await delay(LOOK_MS)
    }
  } finally {
    board.close()
  }
}

/** Waits for a Redis that is away, when somebody watches: it goes on when that is back. */
async function readReports({ reports }: OpenBoard, isWatched: boolean): Promise<Map<string, NodeReport>> {
  for (let said = ''; ; await delay(LOOK_MS)) {
    try {
      return await reports.readAll()
    } catch (error) {
      if (!isWatched || !(error instanceof BallastError) || !error.retryable) throw error
      if (error.message !== said) process.stderr.write(`${error.message}; trying again\n`)
      said = error.message
    }
  }
}

function print(records: readonly DriftRecord[], { json, watch }: DriftOptions): void {
  if (json === true && watch === true) process.stdout.write(`${JSON.stringify({ drift: records })}\n`)
  else if (json === true) printJson({ drift: records })
  else process.stdout.write(renderDrift(records, Date.now(), useColor(process.stdout)))
}

/** One sentence for each, then what differs. */
function renderDrift(records: readonly DriftRecord[], now: number, color: boolean): string {
  if (records.length === 0) return 'No drift.\n'
  const lines = records.flatMap(record => {
    const isOpen = record.healedAt === null
    const end = describeEnd(record) ?? `for ${renderDuration(now - record.since)}`
    const head = `${describeDrift(record)}, ${end}`
    const hold = isOpen ? describeHold(record) : null
    const where = `    ${record.driver} ${record.key}, ${nameDrift(record)}${hold === null ? '' : `; ${hold}`}`
    const fields = differingFields(record).map(
      ([field, desired, observed]) => `    ${field}: wanted ${desired}, found ${observed}`,
    )
    const painted = color ? styleText(isOpen ? 'red' : 'dim', head, { validateStream: false }) : head
    return [painted, where, ...(record.kind === 'paused' ? [] : fields)]
  })
  return `${lines.join('\n')}\n`
}
