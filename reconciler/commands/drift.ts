import { setTimeout as delay } from 'node:timers/promises'
import { styleText } from 'node:util'
import { Command } from 'commander'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import {
  describeDrift,
  describeEnd,
  describeHold,
  differingFields,
  renderDuration,
} from '../drift/describe-drift.ts'
import { nameDrift } from '../drift/name-drift.ts'
import { openBoard, REDIS_SETTINGS } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, useColor } from './print.ts'
import { createDriftReader, type DriftOfAll, type ReadDrift } from './read-drift.ts'

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
  const readDrift = createDriftReader(board)
  const isWatched = options.watch === true
  let shown = ''
  let wasLed = true
  try {
    for (;;) {
      const { records: all, nodes, isLed } = await readAgain(readDrift, isWatched)
      if (options.node !== undefined && !isWatched && !nodes.has(options.node))
        throw new CommandFailure(`No node ${options.node} has reported.`)
      if (wasLed && !isLed) process.stderr.write(`${UNLED}\n`)
      wasLed = isLed
      const records = all
        .filter(({ node }) => options.node === undefined || node === options.node)
        .filter(({ healedAt }) => options.all === true || healedAt === null)
      const text = JSON.stringify({ drift: records })
      if (text !== shown) print(records, options)
      shown = text
      if (!isWatched) return records.some(({ healedAt }) => healedAt === null) ? 2 : 0
      await delay(LOOK_MS)
    }
  } finally {
    board.close()
  }
}

const UNLED =
  'No reconciler leads: whether nodes disagree on a ring is not known, or was found by the one that led last.'

/** Waits for a Redis that is away, when somebody watches: it goes on when that is back. */
async function readAgain(readDrift: ReadDrift, isWatched: boolean): Promise<DriftOfAll> {
  for (let said = ''; ; await delay(LOOK_MS)) {
    try {
      return await readDrift()
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
