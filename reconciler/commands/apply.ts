import { setTimeout as delay } from 'node:timers/promises'
import { Command } from 'commander'
import type { Revision } from '../../schemas/want.ts'
import type { MadePlan } from '../plan/plan-fleet.ts'
import { describeMoved, keepPlan } from '../plan/reviewed-plan.ts'
import { createPokes } from '../queue/pokes.ts'
import type { ReviewedPlans } from '../queue/reviewed-plans.ts'
import { makePlan } from './make-plan.ts'
import { type OpenBoard, openBoard, REDIS_SETTINGS } from './open-board.ts'
import { openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { createCommandLog, printJson, shortRevision } from './print.ts'

const SETTINGS = [...SOURCE_SETTINGS, 'path', ...REDIS_SETTINGS] as const

/** Hexadecimal digits of a digest that name a plan. */
const SHORTEST = 12
/** How long the reconciler may take, ms, and how often it is looked at. */
const WAIT_MS = 30_000
const LOOK_MS = 100

export const applyCommand = (): Command =>
  addSettings(new Command('apply'), SETTINGS)
    .description(
      'Let the head of the branch be taken, if its plan against what is accepted now is the one that is named.',
    )
    .requiredOption('--plan <digest>', `the digest of the plan, or its first ${SHORTEST} digits or more`)
    .option('--json', 'print one JSON value: {applied, digest}')
    .addHelpText(
      'after',
      '\nFor revisions that are held because of requireReviewedPlan. Guards, signatures and rules hold all the same.\n\nExit codes: 0 taken, 1 not.',
    )
    .action(async (options: { plan: string; json?: boolean }, command: Command) => {
      await apply(options, command)
    })

async function apply({ plan: digest, json = false }: { plan: string; json?: boolean }, command: Command) {
  if (!new RegExp(`^[0-9a-f]{${SHORTEST},64}$`).test(digest))
    throw new CommandFailure(
      `--plan: ${digest} is no digest of a plan, nor the first ${SHORTEST} digits of one.`,
    )
  const settings = readSettings(command, SETTINGS, ['repo'])
  const source = await openConfiguredSource(settings, createCommandLog())
  const board = openBoard(settings, createCommandLog())
  try {
    await source.pull()
    const accepted = (await board.revisions.read())?.accepted ?? null
    if (accepted === null)
      throw new CommandFailure('No revision is accepted yet: there is nothing to compare with.')
    const made = await makePlan({
      source,
      path: settings.path,
      from: accepted,
      to: undefined,
      readObserved: undefined,
    })
    if (!made.plan.digest.startsWith(digest)) throw await describeMismatch(digest, made, board.reviews)
    const head = made.plan.head!
    if (head !== accepted) {
      await board.reviews.put(keepPlan(made, 'apply', Date.now()))
      await untilAccepted(board, head)
    }
    if (json) printJson({ applied: head, digest: made.plan.digest })
    else process.stdout.write(`${shortRevision(head)} is taken: ${made.plan.risk.line}.\n`)
  } finally {
    board.close()
    await source.close()
  }
}

async function describeMismatch(
  digest: string,
  { plan, parts }: MadePlan,
  reviews: ReviewedPlans,
): Promise<CommandFailure> {
  const meant = (await reviews.readLatest()).find(each => each.digest.startsWith(digest))
  const moved =
    meant === undefined
      ? 'No plan of that digest was recorded, or it has expired.'
      : `Since then this moved: ${describeMoved(meant.parts, parts)}.`
  return new CommandFailure(
    `The plan of ${shortRevision(plan.head)} against what is accepted, ${shortRevision(plan.base)}, is ${plan.digest.slice(0, 16)}, not ${digest}. ${moved} Nothing was applied; look at it again: ballast plan --from ${shortRevision(plan.base)} --to ${shortRevision(plan.head)}.`,
  )
}

/** Tells the reconciler to look, and waits for what it makes of it. */
async function untilAccepted(board: OpenBoard, head: Revision): Promise<void> {
  const pokes = createPokes(board.connection, () => {})
  try {
    for (let waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
      if (waited % 1000 === 0) pokes.tell()
      const state = await board.revisions.read()
      if (state?.accepted === head) return
      await delay(LOOK_MS)
    }
    const state = await board.revisions.read()
    const why =
      state?.rejected?.revision === head ? state.rejected.diagnostics.map(each => each.message).join(' ') : ''
    throw new CommandFailure(
      `The reconciler has not taken ${shortRevision(head)}. ${why === '' ? 'Is it running, and does it follow this branch?' : why}`,
    )
  } finally {
    pokes.close()
  }
}
