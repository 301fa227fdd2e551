import { setImmediate } from 'node:timers/promises'
import { nameScope } from '../../schemas/hold.ts'
import type { NodeCounters } from '../../schemas/node-counters.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { REVISION_STATE_VERSION, type RevisionState } from '../../schemas/revision-state.ts'
import type { VerifyRule } from '../../schemas/settings.ts'
import type { Revision } from '../../schemas/want.ts'
import type { DesiredFleet } from '../desired/build-desired.ts'
import type { Log } from '../log/log.ts'
import { planFleet } from '../plan/plan-fleet.ts'
import { createLoop } from '../process/loop.ts'
import { ALLOWED_REF } from '../repo/repository.ts'
import type { Source } from '../repo/source.ts'
import type { Candidate } from '../rollout/start-rollout.ts'
import { createCollector } from './collect-states.ts'
import { type ControllerEvent, createPhaseTimer } from './controller-event.ts'
import { createRolloutDriver } from './drive-rollout.ts'
import { createEvaluator } from './evaluate.ts'
import { followProgress } from './follow-progress.ts'
import { describeClosedGate } from './guards.ts'
import { createJudge } from './judge.ts'
import { createPlanGate, type Reviews } from './plan-gate.ts'
import { createPoke } from './poke.ts'
import { type Board, type Published, publishWants } from './publish-wants.ts'
import { createRevert, type RevertOptions } from './revert.ts'
import { openRecords, type RolloutBoard } from './rollout-records.ts'
import { createHeadWatcher } from './watch-head.ts'

const POLL_MS = 10_000
/** How often a rollout that is under way is looked at, and its probes are tried, ms. */
const ROLLOUT_MS = 1_000

export interface ControllerOptions {
  readonly source: Source
  /** Whose signatures commits need; none when left out. */
  readonly verify?: readonly VerifyRule[]
  /** The folder of the repository that holds the manifests; '' for all of it. */
  readonly path: string
  /** Where rollouts and holds are kept. */
  readonly stateDir: string
  readonly board: Board & {
    readonly revisions: {
      write(state: RevisionState): Promise<void>
      read(): Promise<RevisionState | null>
    }
    readonly rollouts: RolloutBoard
    readonly reviews: Reviews
    readonly counters: { readAll(nodes: readonly string[]): Promise<readonly NodeCounters[]> }
    readonly reports: { stream(signal: AbortSignal): AsyncIterable<NodeReport> }
  }
  /** Takes a revision back whose gate has closed, where the policy says so. */
  readonly revert: Pick<RevertOptions, 'push' | 'openPull'>
  /** Whether this process may write; one that may not keeps up with the branch, ready to take over. */
  readonly leads: () => Promise<boolean>
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
  let accepted: Candidate | null = null
  let lastGeneration = 0
  /** What Redis was left with; null: not known. */
  let wants: Published['wants'] | null = null
  /** What the repository's accepted ref says; behind `accepted` while Redis cannot be written. */
  let recorded: Revision | null = null
  /** Something is to be published that `wants` does not have yet. */
  let isDue = true
  /** Accepted, and nobody was told yet. */
  const untold: { readonly before: Candidate | null; readonly after: Candidate }[] = []

  const judge = createJudge({
    repository,
    evaluate,
    verify,
    readCounters: nodes => board.counters.readAll(nodes),
    now,
  })
  const watcher = createHeadWatcher({
    ...{ source, judge, gate: createPlanGate(board.reviews), log, observe, now },
  })
  const records = openRecords({
    ...{ stateDir: options.stateDir, repository, board: board.rollouts, log, now },
  })
  const reverting = createRevert({ ...options.revert, log, onDone: () => loop.trigger('rollout') })
  const rollout = createRolloutDriver({ repository, records, evaluate, log, now })

  async function restoreAccepted(): Promise<void> {
    recorded = await repository.accepted()
    await adopt(recorded ?? (await acceptedByOthers()))
  }

  /** What others have accepted since counts, and what is known of the head is judged anew against it. */
  async function catchUp(): Promise<void> {
    recorded = await repository.accepted()
    const others = await acceptedByOthers()
    const isLater = others !== null && recorded !== null && (await repository.isAncestor(recorded, others))
    await adopt(isLater ? others : (recorded ?? others))
  }

  async function adopt(revision: Revision | null): Promise<void> {
    if (revision === null || revision === accepted?.revision) return
    watcher.forget()
    isDue = true
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

  const look = (): Promise<void> => {
    const pin = rollout.holds.find(({ scope }) => scope.kind === 'fleet')?.revision ?? null
    return watcher.look({ accepted, recorded, pin, reports })
  }

  /** The candidate goes to the nodes: to all of them at once, or as its rollout says. */
  async function offer(): Promise<void> {
    const candidate = watcher.candidate()
    if (candidate === null) return
    const { revision } = candidate
    switch (await rollout.take(candidate, accepted)) {
      case 'accept':
        if (accepted?.revision === revision) break
        await rollout.leaveBehind(revision)
        accept(candidate)
        break
      case 'refuse': {
        const { message, gate } = rollout.record(accepted)!.failure!
        watcher.refuse(revision, [describeClosedGate(gate, message)], accepted?.revision ?? null)
        break
      }
      case 'begun':
        isDue = true
        break
      case 'wait':
    }
  }

  function accept(candidate: Candidate): void {
    untold.push({ before: accepted, after: candidate })
    accepted = candidate
    watcher.taken()
    isDue = true
  }

  /** What was accepted changes. The nodes are at work on it meanwhile. */
  async function tellAccepted(): Promise<void> {
    for (const { before, after } of untold.splice(0)) {
      await setImmediate()
      const plan = await time('plan', async () =>
        planFleet({
          base: before?.revision ?? null,
          head: after.revision,
          before: tablesOf(before?.fleet),
          after: tablesOf(after.fleet),
          names: {},
        }),
      )
      const { revision } = after
      log.info({ revision, ...plan.totals, nodes: plan.nodes.length }, 'plan')
      observe({ type: 'accepted', revision, totals: plan.totals })
    }
  }

  async function publish(known: Published['wants'] | null): Promise<void> {
    const assembled = await rollout.assemble(accepted)
    if (assembled === null) return
    const { revision, fleet, exceptions } = assembled
    const published = await time('publish', () =>
      publishWants({ board, revision, fleet, exceptions, reports, lastGeneration, now: now(), known }),
    ).finally(tellAccepted)
    lastGeneration = published.lastGeneration
    wants = published.wants
    isDue = false
    progress.expect(published.changed)
    // The first may have been quicker than the last was written.
    for (const { node } of published.changed) {
      const report = reports.get(node)
      if (report !== undefined) progress.reported(report)
    }
    collector.published(published.changed)
    if (accepted === null || recorded === accepted.revision) return
    await repository.accept(accepted.revision, recorded)
    recorded = accepted.revision
  }

  /** One step of the rollout; what nodes want by it is published at once. Whether there was one. */
  async function advance(): Promise<boolean> {
    if (wants === null || !(await rollout.advance(accepted, wants, reports))) return false
    const known = wants
    wants = null
    await acceptReached()
    await offer()
    await publish(known)
    loop.trigger('rollout')
    return true
  }

  /** Off the loop: the remote may be slow. What was pushed is noted, so that it is pushed once. */
  async function revertFailed(): Promise<void> {
    const failed = rollout.record(accepted)
    const { branch } = watcher.state()
    if (failed === null || branch === null) return
    const pushed = reverting.next(failed, branch)
    if (pushed === null) return
    await rollout.noteRevert(pushed)
    observe({ type: 'reverted', revision: failed.target })
  }

  /** What a rollout has brought to the nodes is the last good revision. */
  async function acceptReached(): Promise<void> {
    const reached = await rollout.reached(accepted)
    if (reached !== null) accept(reached)
  }

  const publishRevision = (): Promise<void> =>
    board.revisions.write({
      version: REVISION_STATE_VERSION,
      ...watcher.state(),
      accepted: accepted?.revision ?? null,
      pull: source.pullState(),
      at: now(),
    })

  /** What is held may have changed, and what counts as accepted, by the record of another process. */
  async function followRecords(reasons: ReadonlySet<string>): Promise<void> {
    const before = JSON.stringify(rollout.holds)
    await rollout.load(reasons.has('lead') || reasons.has('refresh'))
    await acceptReached()
    const known = accepted?.revision ?? null
    await adopt(await rollout.acceptedByRecord(known))
    const isHeldOtherwise = JSON.stringify(rollout.holds) !== before
    if (isHeldOtherwise) {
      isDue = true
      const held = rollout.holds.map(
        ({ scope, revision }) => `${nameScope(scope)} at ${revision ?? 'what it is'}`,
      )
      log.warn({ held }, held.length === 0 ? 'nothing is held any more' : 'held')
    }
    // A pin is another head, and so is its end; and a head is judged against what is accepted.
    if (isHeldOtherwise || (accepted?.revision ?? null) !== known) await look()
  }

  const loop = createLoop(
    async reasons => {
      if (reasons.has('lead')) await catchUp()
      const isTick = [...reasons].every(reason => reason === 'rollout')
      if (!isTick) await look()
      if (!(await options.leads())) return
      await followRecords(reasons)
      await offer()
      // A push finds Redis as it was left; whether it still is so is looked at from time to time.
      const known = [...reasons].every(reason => reason === 'push' || reason === 'rollout') ? wants : null
      if (!isTick || isDue || known === null) {
        wants = null
        await publish(known)
      }
      const isAdvanced = await advance()
      await revertFailed()
      if (!isTick || isAdvanced) await publishRevision()
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
      else if (rollout.isMoving(accepted)) loop.trigger('rollout')
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
  async function tick(): Promise<void> {
    if (!rollout.isMoving(accepted) || !(await options.leads())) return
    await rollout.probe()
    loop.trigger('rollout')
  }

  const ticks = setInterval(() => void tick(), ROLLOUT_MS)
  loop.trigger('start')

  return {
    refresh: () => loop.trigger('refresh'),
    lead: () => loop.trigger('lead'),
    fleet: () => accepted?.fleet ?? null,
    poke,
    async stop() {
      poke.stop()
      clearInterval(timer)
      clearInterval(ticks)
      ending.abort()
      await Promise.all([loop.stop(), reverting.stop(), ...following])
    },
  }
}

const tablesOf = (fleet: DesiredFleet | undefined) =>
  new Map([...(fleet?.nodes ?? [])].map(([node, { state }]) => [node, state.tables]))
