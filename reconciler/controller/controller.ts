import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { REVISION_STATE_VERSION, type RevisionState } from '../../schemas/revision-state.ts'
import type { Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { Log } from '../log/log.ts'
import { renderDiagnostic } from '../manifest/render-diagnostic.ts'
import { planFleet } from '../plan/plan-fleet.ts'
import { createLoop } from '../process/loop.ts'
import type { Repository } from '../repo/repository.ts'
import { type ControllerEvent, createPhaseTimer } from './controller-event.ts'
import { createEvaluator } from './evaluate.ts'
import { followProgress } from './follow-progress.ts'
import { createPoke } from './poke.ts'
import { type Board, publishWants } from './publish-wants.ts'

const POLL_MS = 10_000

export interface ControllerOptions {
  readonly repository: Repository
  /** A branch's name. */
  readonly branch: string
  /** The folder of the repository that holds the manifests; '' for all of it. */
  readonly path: string
  readonly board: Board & {
    readonly revisions: { write(state: RevisionState): Promise<void> }
    readonly reports: { stream(signal: AbortSignal): AsyncIterable<NodeReport> }
  }
  readonly log: Log
  readonly now: () => number
  /** Told of what happens; must not throw. */
  readonly observe?: (event: ControllerEvent) => void
}

export interface Controller {
  /** The queue may have lost what it held: look, and fill it again. */
  refresh(): void
  /** Somebody says that the branch moved: look, at once, or once for all of a storm. */
  poke(): void
  stop(): Promise<void>
}

/**
 * The reconcile loop: follows a branch, keeps the last revision that is valid, and keeps Redis saying so.
 * Git unreachable, a broken revision, an emptied Redis: what was accepted stays (rule 1).
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { repository, board, log, now, observe = () => {} } = options
  const time = createPhaseTimer(observe)
  const evaluate = createEvaluator(repository, options.path, time)
  const ending = new AbortController()
  const progress = followProgress(log, now)
  const reports = new Map<string, NodeReport>()
  let accepted: { revision: Revision; fleet: DesiredFleet } | null = null
  let seen: Revision | null = null
  let rejected: RevisionState['rejected'] = null
  let lastGeneration = 0
  /** What the repository's accepted ref says; behind `accepted` while Redis cannot be written. */
  let recorded: Revision | null = null
  let complaint = ''

  async function restoreAccepted(): Promise<void> {
    const revision = await repository.accepted()
    recorded = revision
    if (revision === null) return
    const { fleet, diagnostics } = await evaluate(revision)
    if (fleet !== null) accepted = { revision, fleet }
    else
      log.error(
        { revision, problems: diagnostics.length },
        'the accepted revision is not valid for this version of Ballast',
      )
  }

  async function followBranch(): Promise<void> {
    const head = await repository.resolve(`refs/heads/${options.branch}`)
    if (head === null) {
      complain(`branch ${options.branch} does not exist in ${repository.dir}; nothing changes until it does`)
      return
    }
    observe({ type: 'looked' })
    if (head === seen) return
    complain('')
    const { subject, author } = await repository.describe(head)
    log.info({ revision: head, branch: options.branch, author, subject }, 'push seen')
    observe({ type: 'push-seen', revision: head, subject, author })
    const rewound = await findRewind(head)
    const evaluation = rewound ?? (await evaluate(head))
    seen = head
    for (const diagnostic of evaluation.diagnostics) logDiagnostic(diagnostic)
    if (evaluation.fleet === null) reject(head, evaluation.diagnostics)
    else await accept(head, evaluation.fleet)
  }

  /** A branch that does not contain what was accepted was rewritten: nobody reviewed what that takes away. */
  async function findRewind(head: Revision) {
    if (accepted === null || (await repository.isAncestor(accepted.revision, head))) return null
    const diagnostic: Diagnostic = {
      rule: 'not-fast-forward',
      severity: 'error',
      message: `${head.slice(0, 12)} does not contain the accepted revision ${accepted.revision.slice(0, 12)}: the branch was rewritten.`,
      hint: `Push a commit on top of it; or, to take the rewritten branch as it is, run git update-ref -d refs/ballast/accepted in ${repository.dir} and restart the reconciler.`,
      at: { file: options.path === '' ? '.' : options.path, line: 1, column: 1 },
    }
    return { revision: head, fleet: null, diagnostics: [diagnostic] }
  }

  function reject(revision: Revision, diagnostics: readonly Diagnostic[]): void {
    rejected = { revision, diagnostics: [...diagnostics], at: now() }
    observe({ type: 'refused', revision, diagnostics })
    log.error(
      { revision, problems: diagnostics.length, keeps: accepted?.revision ?? null },
      'revision refused; the last good one stays',
    )
  }

  async function accept(revision: Revision, fleet: DesiredFleet): Promise<void> {
    const plan = await time('plan', async () =>
      planFleet({
        base: accepted?.revision ?? null,
        head: revision,
        before: tablesOf(accepted?.fleet),
        after: tablesOf(fleet),
        names: {},
      }),
    )
    log.info({ revision, ...plan.totals, nodes: plan.nodes.length }, 'plan')
    accepted = { revision, fleet }
    rejected = null
    observe({ type: 'accepted', revision, totals: plan.totals })
  }

  async function publish(): Promise<void> {
    if (accepted === null) return
    const { revision, fleet } = accepted
    const published = await time('publish', () =>
      publishWants({ board, revision, fleet, reports, lastGeneration, now: now() }),
    )
    lastGeneration = published.lastGeneration
    progress.expect(published.changed)
    if (recorded === revision) return
    await repository.accept(revision, recorded)
    recorded = revision
  }

  const publishRevision = (): Promise<void> =>
    board.revisions.write({
      version: REVISION_STATE_VERSION,
      seen,
      accepted: accepted?.revision ?? null,
      rejected,
      at: now(),
    })

  function complain(message: string): void {
    if (message !== '' && message !== complaint) log.error({}, message)
    complaint = message
  }

  const logDiagnostic = (diagnostic: Diagnostic): void =>
    diagnostic.severity === 'error'
      ? log.error({ rule: diagnostic.rule }, renderDiagnostic(diagnostic))
      : log.warn({ rule: diagnostic.rule }, renderDiagnostic(diagnostic))

  const loop = createLoop(
    async () => {
      await followBranch()
      await publish()
      await publishRevision()
    },
    error => log.error({ err: error }, 'reconcile failed; what was accepted stays; trying again'),
  )

  async function followRefs(): Promise<void> {
    for await (const _ of repository.watch(`refs/heads/${options.branch}`, ending.signal))
      loop.trigger('push')
  }

  async function followReports(): Promise<void> {
    for await (const report of board.reports.stream(ending.signal)) {
      reports.set(report.node, report)
      progress.reported(report)
      observe({ type: 'reported', report })
      if (callsForWant(report)) loop.trigger('report')
    }
  }

  /** A node that is ahead of every want of ours, or that is to leave. The others wait for the next poll. */
  const callsForWant = ({ node, want }: NodeReport): boolean =>
    (want?.generation ?? 0) > lastGeneration || accepted?.fleet.nodes.has(node) === false

  const poke = createPoke(() => loop.trigger('webhook'))

  await restoreAccepted()
  const following = [followRefs(), followReports()].map(task =>
    task.catch((error: unknown) => {
      if (!ending.signal.aborted) log.error({ err: error }, 'stopped following; polling goes on')
    }),
  )
  const timer = setInterval(() => loop.trigger('poll'), POLL_MS)
  loop.trigger('start')

  return {
    refresh: () => loop.trigger('refresh'),
    poke,
    async stop() {
      poke.stop()
      clearInterval(timer)
      ending.abort()
      await Promise.all([loop.stop(), ...following])
    },
  }
}

const tablesOf = (fleet: DesiredFleet | undefined) =>
  new Map([...(fleet?.nodes ?? [])].map(([node, { state }]) => [node, state.tables]))
