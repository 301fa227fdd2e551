import { Command } from 'commander'
import { PAUSE_VERSION, type Pause } from '../../schemas/drift-policy.ts'
import { createPauses } from '../queue/pauses.ts'
import { createWaker } from '../queue/wake.ts'
import { type OpenBoard, openBoard, REDIS_SETTINGS } from './open-board.ts'
import { nameOperator } from './operator.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson } from './print.ts'

const SETTINGS = ['stateDir', ...REDIS_SETTINGS] as const
const UNITS = { s: 1_000, m: 60_000, h: 3_600_000 } as const
const LONGEST_MS = 24 * UNITS.h

interface PauseOptions {
  readonly node: string
  readonly for: string
  readonly why: string
  readonly json?: boolean
}

export const pauseCommand = (): Command =>
  addSettings(new Command('pause'), SETTINGS)
    .description(
      'Work on a node by hand: nothing is changed there, neither repaired nor pushed, until it ends by itself.',
    )
    .requiredOption('--node <name>', 'the node')
    .requiredOption('--for <time>', 'how long: 90s, 30m, 2h; at most 24h')
    .requiredOption('--why <text>', 'for those who read the status and the log of drift')
    .option('--json', 'print one JSON value: {node, pause} (schemas/drift-policy.ts)')
    .addHelpText('after', '\nEnd it earlier: ballast resume --node NAME.\n\nExit codes: 0 paused, 1 not.')
    .action(async (options: PauseOptions, command: Command) => pause(options, command))

async function pause({ node, json, ...options }: PauseOptions, command: Command): Promise<void> {
  const why = readReason(options.why)
  const since = Date.now()
  const made: Pause = {
    version: PAUSE_VERSION,
    since,
    until: since + parseTime(options.for),
    why,
    by: nameOperator(),
  }
  const board = openBoard(readSettings(command, SETTINGS), createCommandLog())
  try {
    if (!(await board.reports.readAll()).has(node)) throw new CommandFailure(`No node ${node} has reported.`)
    await createPauses(board.connection).write(node, made, since)
    await wakeNode(board, node)
  } finally {
    board.close()
  }
  if (json === true) printJson({ node, pause: made })
  else process.stdout.write(`${node} is paused until ${new Date(made.until).toISOString()}.\n`)
}

/** Whether the node was paused, as Redis or, after that was emptied, the node itself says. */
export async function endPause(board: OpenBoard, node: string): Promise<boolean> {
  const pauses = createPauses(board.connection)
  const now = Date.now()
  const known = [await pauses.read(node), (await board.reports.readAll()).get(node)?.paused ?? null]
  const pause = known.find(each => each !== null && now < each.until)
  if (pause == null) return false
  await pauses.end(node, pause, now)
  await wakeNode(board, node)
  return true
}

/** It looks for itself some time later when it cannot be called. */
async function wakeNode(board: OpenBoard, node: string): Promise<void> {
  const waker = createWaker(board.connection)
  await waker.wake(node, 0).catch(() => {})
  await waker.close()
}

/** It stands in tables, in commits and in alerts: one line, with nothing in it that a terminal obeys. */
function readReason(text: string): string {
  const why = text.replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim()
  if (why === '')
    throw new CommandFailure('--why: say why, for those who read the status and the log of drift.')
  return why
}

function parseTime(text: string): number {
  const [, digits, unit] = /^([1-9]\d{0,5})(s|m|h)$/.exec(text) ?? []
  const ms = Number(digits) * UNITS[(unit ?? 's') as keyof typeof UNITS]
  if (digits === undefined || ms > LONGEST_MS) {
    throw new CommandFailure(`--for: ${text} is no time of at most 24h, as 90s, 30m or 2h.`)
  }
  return ms
}
