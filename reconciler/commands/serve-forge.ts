import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { FleetPlan } from '../../schemas/plan.ts'
import type { Settings, SettingsFile } from '../../schemas/settings.ts'
import type { Revision } from '../../schemas/want.ts'
import type { ControllerEvent } from '../controller/controller-event.ts'
import { createReviewer, type Review } from '../controller/review-pulls.ts'
import { createRevisionTeller } from '../controller/tell-revision.ts'
import type { Forge } from '../forge/forge.ts'
import type { Log } from '../log/log.ts'
import { runCommand } from '../process/run-command.ts'
import { COMMENT_MARKER, renderMarkdown } from '../render/render-markdown.ts'
import { renderProblems } from '../render/render-problems.ts'
import type { Source } from '../repo/source.ts'
import type { ForgePages } from './forge-pages.ts'
import { type OpenBoard, REDIS_SETTINGS } from './open-board.ts'
import { type ForgeSettings, openConfiguredForge } from './open-forge.ts'
import { writeFlags } from './options.ts'
import { planStatus } from './plan-status.ts'
import { renderDiagnostics } from './print.ts'
import { isInvalid, reviewFailure, reviewProblems } from './review-problems.ts'

export interface ServeForgeOptions {
  readonly settings: ForgeSettings &
    SettingsFile & {
      readonly stateDir: Settings['stateDir']
      readonly path: string
      readonly publicUrl: string | undefined
    }
  readonly source: Source
  readonly board: OpenBoard
  readonly pages: ForgePages
  readonly leads: () => boolean
  readonly log: Log
}

/** What the reconciler does in a forge by itself, so that no credentials to the fleet need be in CI. */
export interface ServedForge {
  review(number: number): void
  observe(event: ControllerEvent): void
  readonly openPull: Forge['openPull']
  stop(): Promise<void>
}

/** Of a plan of ten thousand services on a machine that is busy. */
const PLAN_MS = 300_000
/** Reviews wait for pushes and answers, not those for them: nice(1). */
const PLAN_NICENESS = 10
const TELL_EVERY_MS = 1_000
const PLAN_SETTINGS = ['repo', 'stateDir', 'path', ...REDIS_SETTINGS] as const

/** Null: no forge is set. Throws `CommandFailure`. */
export function serveForge({
  settings,
  source,
  board,
  pages,
  leads,
  log,
}: ServeForgeOptions): ServedForge | null {
  const open = openConfiguredForge(settings)
  if (open === null) return null
  const { forge, kind } = open
  const { repository } = source

  /** Planned in a process of its own: a great plan keeps neither reconciles nor webhooks waiting. */
  async function review(base: Revision, head: Revision): Promise<Review> {
    const first = await planOf(base, head)
    if (!isInvalid(first, base)) return first.review()
    // A proposal that mends the branch: the reconciler, too, goes on from what is accepted.
    const accepted = await repository.accepted()
    return (accepted === null ? first : await planOf(accepted, head)).review()
  }

  async function planOf(base: Revision, head: Revision) {
    const flags = writeFlags({ ...settings, repo: repository.dir }, PLAN_SETTINGS)
    const [page, file] = [join(settings.stateDir, 'plan.html'), join(settings.stateDir, 'plan.json')]
    // Through a file: of output and an exit code that is not 0, execa makes the text of an error, at length.
    const args = [
      'plan',
      '--json',
      '--changed',
      '--output',
      file,
      ...flags,
      '--from',
      base,
      '--to',
      head,
      '--live',
      '--record',
    ]
    const html = settings.publicUrl === undefined ? [] : ['--html', page]
    const program = [process.execPath, ...process.execArgv, process.argv[1]!]
    const { exitCode, stderr } = await runCommand(
      'nice',
      ['-n', String(PLAN_NICENESS), ...program, ...args, ...html],
      { timeout: PLAN_MS, okExitCodes: [0, 1, 2] },
    )
    return {
      stderr,
      async review(): Promise<Review> {
        if (exitCode === 1) return reviewFailure(stderr, head)
        const plan = FleetPlan.parse(JSON.parse(await readFile(file, 'utf8')))
        const link =
          html.length === 0 ? null : await pages.put('plans', plan.digest, await readFile(page, 'utf8'))
        return {
          comment: renderMarkdown(plan, { link }),
          marker: COMMENT_MARKER,
          status: { ...planStatus(plan), url: link },
        }
      },
    }
  }

  const reviewer = createReviewer({
    forge,
    kind,
    branch: source.branch,
    resolve: repository.resolve,
    bring: source.bring,
    preview: repository.previewMerge,
    review,
    refuse: reviewProblems,
    log,
    now: Date.now,
  })
  const teller = createRevisionTeller({
    forge,
    leads,
    readWants: () => board.wants.readAll(),
    readReports: () => board.reports.readAll(),
    readRollout: () => board.rollouts.read(),
    pageOf: (revision, text) => pages.put('revisions', revision, renderProblems(revision, text)),
    log,
    interval: TELL_EVERY_MS,
  })
  return {
    review: reviewer.ask,
    openPull: forge.openPull,
    observe(event) {
      if (event.type === 'refused')
        teller.refused(event.revision, {
          line: sayProblems(event.diagnostics),
          all: renderDiagnostics(event.diagnostics.toSorted(errorsFirst)),
        })
      else if (event.type === 'accepted' || event.type === 'reverted') teller.accepted()
      else if (event.type === 'reported') teller.reported()
    },
    async stop() {
      await reviewer.stop()
      await teller.stop()
    },
  }
}

const errorsFirst = (a: Diagnostic, b: Diagnostic): number =>
  Number(b.severity === 'error') - Number(a.severity === 'error')

/** Warnings refuse nothing. */
function sayProblems(all: readonly Diagnostic[]): string {
  const diagnostics = all.filter(({ severity }) => severity === 'error')
  const [first] = diagnostics
  if (first === undefined) return 'see the log of the reconciler'
  const { file, line } = first.at
  const more = diagnostics.length > 1 ? ` (and ${diagnostics.length - 1} more)` : ''
  return `${file}:${line} ${first.message}${more}`
}
