import { appendFile, writeFile } from 'node:fs/promises'
import { Command, InvalidArgumentError } from 'commander'
import type { Revision } from '../../schemas/want.ts'
import { describeConflicts, PLAN_CONTEXT } from '../controller/review-pulls.ts'
import { askPatiently } from '../forge/ask-patiently.ts'
import type { CiJob } from '../forge/detect-ci.ts'
import type { Forge, PullRequest } from '../forge/forge.ts'
import type { MadePlan } from '../plan/plan-fleet.ts'
import { keepPlan } from '../plan/reviewed-plan.ts'
import { COMMENT_MARKER, renderMarkdown } from '../render/render-markdown.ts'
import type { Source } from '../repo/source.ts'
import { makePlan } from './make-plan.ts'
import { type OpenBoard, openBoard, REDIS_SETTINGS } from './open-board.ts'
import { detectJob, FORGE_SETTINGS, openForgeOfJob } from './open-forge.ts'
import { openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { CommandFailure } from './outcome.ts'
import { isEmptyPlan } from './plan.ts'
import { planStatus } from './plan-status.ts'
import { createCommandLog, printJson } from './print.ts'
import { readObservedFleet } from './read-live-fleet.ts'
import { isInvalid, reviewProblems } from './review-problems.ts'
import { VERSION } from './version.ts'

const SETTINGS = [...SOURCE_SETTINGS, 'path', ...FORGE_SETTINGS, ...REDIS_SETTINGS] as const

export const reviewCommand = (): Command =>
  addSettings(new Command('review'), SETTINGS)
    .description('Plan a pull request as it would be merged, and say it there: one comment, one status.')
    .option('--pull <number>', 'the pull request; in a CI job the one that it runs for', toNumber)
    .option('--from <revision>', 'what it is to be merged into; its target branch when left out')
    .option('--to <revision>', 'what is proposed; its head when left out')
    .option('--live', 'say too what it does to the flows that are there (needs --redis)')
    .option('--record', 'keep the plan as reviewed, for requireReviewedPlan (needs --redis)')
    .option('--link <url>', 'where the whole plan is, for a comment that must be cut')
    .option('--output <file>', 'write the plan as JSON (docs/plan.md)')
    .option('--sarif <file>', 'write the plan as SARIF, which forges show at the changed lines')
    .option('--html <file>', 'write the plan as a page with pictures')
    .option('--dry-run', 'print the comment, and tell the forge nothing')
    .option('--json', 'print the plan as one JSON value (docs/plan.md)')
    .addHelpText('after', '\nExit codes, as of plan: 0 nothing to do, 2 changes, 1 the plan cannot be made.')
    .action(async (options: ReviewOptions, command: Command) => {
      process.exitCode = await review(options, command)
    })

interface ReviewOptions {
  readonly pull?: number
  readonly from?: string
  readonly to?: string
  readonly live?: boolean
  readonly record?: boolean
  readonly link?: string
  readonly output?: string
  readonly sarif?: string
  readonly html?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

async function review(options: ReviewOptions, command: Command): Promise<number> {
  const settings = readSettings(command, SETTINGS, ['repo'])
  const job = detectJob()
  const open = options.dryRun === true ? null : openForgeOfJob(settings, job).forge
  const forge = open && askPatiently(open, text => process.stderr.write(`${text}\n`))
  if (forge === null && options.dryRun !== true)
    process.stderr.write('There is no token: the plan is only here, and the pull request is not told.\n')
  const number = options.pull ?? job?.pull
  if (forge !== null && number === undefined)
    throw new CommandFailure('No pull request is known here; say which with --pull.')
  const pull = forge === null ? null : await forge.readPull(number!)
  const source = await openConfiguredSource(settings, createCommandLog())
  const board =
    options.live === true || options.record === true ? openBoard(settings, createCommandLog()) : null
  try {
    await source.pull()
    const sides = await findSides(options, source, pull, job)
    const made = await planMerge({ ...sides, source, path: settings.path, board, options }).catch(
      async (error: unknown) => {
        if (!(error instanceof CommandFailure)) throw error
        const said = isInvalid({ stderr: error.message }, sides.base)
          ? reviewProblems(error.message, `no plan, since ${sides.into} itself is not valid`)
          : reviewProblems(error.message)
        await tell(forge, pull, toSaid(said), job)
        throw error
      },
    )
    await write(made, options)
    const link = options.link ?? job?.jobUrl ?? null
    const comment = renderMarkdown(made.plan, { link })
    const whole = renderMarkdown(made.plan, { link: null, limit: LOG_BYTES })
    // First to the log of the job: a forge that is out of order keeps nobody from reading it.
    if (options.json === true) printJson(made.plan)
    else process.stdout.write(options.dryRun === true ? comment : whole)
    if (options.record === true && board !== null) await board.reviews.put(keepPlan(made, 'plan', Date.now()))
    await tell(forge, pull, { comment, whole, status: { ...planStatus(made.plan), url: link } }, job)
    return isEmptyPlan(made.plan) ? 0 : 2
  } finally {
    board?.close()
    await source.close()
  }
}

interface Sides {
  /** The branch, as people call it. */
  readonly into: string
  readonly base: Revision
  readonly head: Revision
}

interface Merge extends Sides {
  readonly source: Source
  readonly path: string
  readonly board: OpenBoard | null
  readonly options: ReviewOptions
}

async function planMerge({ source, path, into, base, head, board, options }: Merge): Promise<MadePlan> {
  const merged = await source.repository.previewMerge(base, head)
  if ('conflicts' in merged) throw new CommandFailure(describeConflicts(into, merged.conflicts))
  const readObserved =
    board === null || options.live !== true ? undefined : () => readObservedFleet(board, Date.now())
  return makePlan({ source, path, from: base, to: merged.revision, readObserved })
}

const toSaid = (review: ReturnType<typeof reviewProblems>): Said => ({ ...review, whole: review.comment })

async function findSides(
  options: ReviewOptions,
  { repository }: Source,
  pull: PullRequest | null,
  job: CiJob | null,
): Promise<Sides> {
  const into = options.from ?? pull?.into ?? job?.into
  const bases =
    options.from === undefined ? [`refs/remotes/origin/${into}`, `refs/heads/${into}`] : [options.from]
  // What is checked out may be the base, and a plan of nothing would look as if all were well.
  const heads = [options.to ?? pull?.head ?? job?.head ?? 'HEAD']
  const find = async (what: string, names: readonly string[], flag: string): Promise<Revision> => {
    for (const name of names) {
      const revision = await repository.resolve(name)
      if (revision !== null) return revision
    }
    throw new CommandFailure(`${what} is not in ${repository.dir}; fetch it, or name it with ${flag}.`)
  }
  if (into === undefined)
    throw new CommandFailure('Nobody says what it is to be merged into; name it with --from.')
  return {
    into,
    base: await find(options.from ?? `The branch ${into}`, bases, '--from'),
    head: await find(options.to ?? `What is proposed, ${heads[0]},`, heads, '--to'),
  }
}

/** Of what is shown beside a job: GitHub takes 1 MiB. */
const LOG_BYTES = 1_000_000

interface Said {
  readonly comment: string
  /** The same for where there is more room. */
  readonly whole: string
  readonly status: {
    readonly state: 'success' | 'failure'
    readonly description: string
    readonly url: string | null
  }
}

/** To the forge if it may be told, and beside the job. Without a token, as for a fork, beside the job alone. */
async function tell(
  forge: Forge | null,
  pull: PullRequest | null,
  said: Said,
  job: CiJob | null,
): Promise<void> {
  if (job?.summaryFile !== undefined) await appendFile(job.summaryFile, `${said.whole}\n`)
  if (forge === null || pull === null) return
  await forge.putComment(pull.number, COMMENT_MARKER, said.comment)
  await forge.putStatus(pull.head, { context: PLAN_CONTEXT, ...said.status })
}

async function write({ plan }: MadePlan, { output, sarif, html }: ReviewOptions): Promise<void> {
  if (output !== undefined) await writeFile(output, `${JSON.stringify(plan, null, 2)}\n`)
  if (sarif !== undefined)
    await writeFile(sarif, (await import('../render/render-sarif.ts')).renderSarif(plan, VERSION))
  if (html !== undefined)
    await writeFile(html, await (await import('../render/render-html.ts')).renderHtml(plan))
}

function toNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is a number from 1 on.')
  return Number(text)
}
