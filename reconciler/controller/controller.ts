import { BallastError } from '../../schemas/ballast-error.ts'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { NodeReport } from '../../schemas/report.ts'
import {
  REVISION_STATE_VERSION,
  type RevisionState,
  type SourceProblem,
} from '../../schemas/revision-state.ts'
import type { VerifyRule } from '../../schemas/settings.ts'
import type { Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { Log } from '../log/log.ts'
import { renderDiagnostic } from '../manifest/render-diagnostic.ts'
import { planFleet } from '../plan/plan-fleet.ts'
import { createLoop } from '../process/loop.ts'
import { ALLOWED_REF } from '../repo/repository.ts'
import type { Source } from '../repo/source.ts'
import { createCollector } from './collect-states.ts'
import { type ControllerEvent, createPhaseTimer } from './controller-event.ts'
import { createEvaluator, type Evaluation } from './evaluate.ts'
import { followProgress } from './follow-progress.ts'
import { describeRewind, findShrunken } from './guards.ts'
import { createPoke } from './poke.ts'
import { type Board, type Published, publishWants } from './publish-wants.ts'

const POLL_MS = 10_000

export interface ControllerOptions {
  readonly source: Source
  /** Whose signatures commits need; none when left out. */
  readonly verify?: readonly VerifyRule[]
  /** The folder of the repository that holds the manifests; '' for all of it. */
  readonly path: string
  readonly board: Board & {
    readonly revisions: {
      write(state: RevisionState): Promise<void>
      read(): Promise<RevisionState | null>
    }
    readonly reports: { stream(signal: AbortSignal): AsyncIterable<NodeReport> }
  }
  /** Whether this process may write; one that may not keeps up with the branch, ready to take over. */
  readonly leads: () => boolean
  readonly log: Log
  readonly now: () => number
  /** Told of what happens; must not throw. */
  readonly observe?: (event: ControllerEvent) => void
}

export interface Controller {
  /** The queue may have lost what it held: look, and fill it again. */
  refresh(): void
  /** This process leads from now on: what the one before it has recorded is read again. */
  lead(): void
  /** What the accepted revision asks for; null: none is accepted yet. */
  fleet(): DesiredFleet | null
  /** Somebody says that the branch moved: look, at once, or once for all of a storm. */
  poke(): void
  stop(): Promise<void>
}

/**
 * The reconcile loop: follows a branch, keeps the last revision that is valid, and keeps Redis saying so.
 * Git unreachable, a broken revision, an emptied Redis: what was accepted stays (rule 1).
 */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { source, board, log, now, verify = [], observe = () => {} } = options
  const { repository } = source
  const time = createPhaseTimer(observe)
  const evaluate = createEvaluator(repository, options.path, time)
  const ending = new AbortController()
  const progress = followProgress(log, now)
  const collector = createCollector(board)
  const reports = new Map<string, NodeReport>()
  let accepted: { revision: Revision; fleet: DesiredFleet } | null = null
  let seen: Revision | null = null
  let rejected: RevisionState['rejected'] = null
  let lastGeneration = 0
  /** What Redis was left with; null: not known. */
  let wants: Published['wants'] | null = null
  /** What the repository's accepted ref says; behind `accepted` while Redis cannot be written. */
  let recorded: Revision | null = null
  let branch: string | null = null
  let problems: RevisionState['problems'] = []

  async function restoreAccepted(): Promise<void> {
    recorded = await repository.accepted()
    const revision = recorded ?? (await acceptedByOthers())
    if (revision === null) return
    const { fleet, diagnostics } = await evaluate(revision)
    if (fleet !== null) accepted = { revision, fleet }
    else
      log.error(
        { revision, problems: diagnostics.length },
        'the accepted revision is not valid for this version of Ballast',
      )
  }

  /** What a reconciler with another mirror has accepted, if it is here too. */
  async function acceptedByOthers(): Promise<Revision | null> {
    const state = await board.revisions.read().catch(() => null)
    return state?.accepted == null ? null : repository.resolve(state.accepted)
  }

  /** What cannot be read is said, and hinders nothing of what was accepted: an emptied Redis is filled all the same. */
  async function look(): Promise<void> {
    const found: Omit<SourceProblem, 'since'>[] = []
    try {
      found.push(...(await source.problems()))
      await followBranch()
    } catch (error) {
      if (!(error instanceof BallastError)) throw error
      found.push({ rule: error.code, message: `${error.message}.`, hint: error.hint })
    }
    noteProblems(found)
  }

  async function followBranch(): Promise<void> {
    branch = await source.branch()
    // Both ask git; a push should wait for it once.
    const [head, allowed] = await Promise.all([
      branch === null ? null : repository.resolve(`refs/heads/${branch}`),
      repository.allowed(),
    ])
    if (branch === null || head === null) {
      seen = null
      return
    }
    observe({ type: 'looked' })
    if (head === seen && (allowed !== head || accepted?.revision === head)) return
    const judging = judge(head, branch, allowed === head)
    // Until it is awaited.
    judging.catch(() => {})
    const { subject, author } = await repository.describe(head).catch(async (error: unknown) => {
      // One revision after the other is judged.
      await judging.catch(() => {})
      throw error
    })
    log.info({ revision: head, branch, author, subject }, 'push seen')
    observe({ type: 'push-seen', revision: head, subject, author })
    const { fleet, diagnostics } = await judging
    seen = head
    for (const diagnostic of diagnostics) logDiagnostic(diagnostic)
    if (fleet === null) reject(head, diagnostics)
    else await accept(head, fleet)
  }

  /** What a person allowed may be rewritten and shrunken, and must be signed and valid all the same. */
  async function judge(head: Revision, onBranch: string, isAllowed: boolean): Promise<Evaluation> {
    const refused = (diagnostics: readonly Diagnostic[]) => ({ revision: head, fleet: null, diagnostics })
    const base = accepted?.revision ?? recorded
    if (base !== null && !isAllowed && !(await repository.isAncestor(base, head))) {
      return refused([describeRewind(head, base)])
    }
    const unsigned = await repository.verify({ rules: verify, branch: onBranch, base, head })
    if (unsigned.length > 0) return refused(unsigned)
    const evaluation = await evaluate(head)
    if (evaluation.fleet === null || accepted === null || isAllowed) return evaluation
    const shrunken = findShrunken(head, accepted.fleet, evaluation.fleet)
    return shrunken.length === 0 ? evaluation : refused([...evaluation.diagnostics, ...shrunken])
  }

  function noteProblems(found: readonly Omit<SourceProblem, 'since'>[]): void {
    const known = new Map(problems.map(problem => [problem.message, problem]))
    for (const { rule, message, hint } of found) {
      if (!known.has(message)) log.error({ rule }, `${message} ${hint}`)
    }
    problems = found.map(problem => ({ ...problem, since: known.get(problem.message)?.since ?? now() }))
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

  async function publish(known: Published['wants'] | null): Promise<void> {
    if (accepted === null) return
    const { revision, fleet } = accepted
    const published = await time('publish', () =>
      publishWants({
        board,
        revision,
        fleet,
        exceptions: new Map(),
        reports,
        lastGeneration,
        now: now(),
        known,
      }),
    )
    lastGeneration = published.lastGeneration
    wants = published.wants
    progress.expect(published.changed)
    // The first may have been quicker than the last was written.
    for (const { node } of published.changed) {
      const report = reports.get(node)
      if (report !== undefined) progress.reported(report)
    }
    collector.published(published.changed)
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
      branch,
      problems,
      pull: source.pullState(),
      at: now(),
    })

  const logDiagnostic = (diagnostic: Diagnostic): void =>
    diagnostic.severity === 'error'
      ? log.error({ rule: diagnostic.rule }, renderDiagnostic(diagnostic))
      : log.warn({ rule: diagnostic.rule }, renderDiagnostic(diagnostic))

  const loop = createLoop(
    async reasons => {
      if (reasons.has('lead')) recorded = await repository.accepted()
      await look()
      if (!options.leads()) return
      // A push finds Redis as it was left; whether it still is so is looked at from time to time.
      const known = [...reasons].every(reason => reason === 'push') ? wants : null
      wants = null
      await publish(known)
      await publishRevision()
      // Between pushes, not behind each: it looks at every key.
      if (!reasons.has('poll') || accepted === null) return
      const removed = await collector.collect(reports)
      if (removed > 0) log.debug({ removed }, 'states that nobody needs are deleted')
    },
    error => log.error({ err: error }, 'reconcile failed; what was accepted stays; trying again'),
  )

  async function followBranchMoves(): Promise<void> {
    for await (const _ of source.changes(ending.signal)) loop.trigger('push')
  }

  async function followAllowed(): Promise<void> {
    for await (const _ of repository.watch(ALLOWED_REF, ending.signal)) loop.trigger('allowed')
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

  const poke = createPoke(() => {
    source.poll()
    loop.trigger('webhook')
  })

  await restoreAccepted()
  await source.start()
  const following = [followBranchMoves(), followAllowed(), followReports()].map(task =>
    task.catch((error: unknown) => {
      if (!ending.signal.aborted) log.error({ err: error }, 'stopped following; polling goes on')
    }),
  )
  const timer = setInterval(() => loop.trigger('poll'), POLL_MS)
  loop.trigger('start')

  return {
    refresh: () => loop.trigger('refresh'),
    lead: () => loop.trigger('lead'),
    fleet: () => accepted?.fleet ?? null,
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
