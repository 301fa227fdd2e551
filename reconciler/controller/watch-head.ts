import { BallastError } from '../../schemas/ballast-error.ts'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import type { NodeReport } from '../../schemas/report.ts'
import type { RevisionState, SourceProblem } from '../../schemas/revision-state.ts'
import type { Revision } from '../../schemas/want.ts'
import type { Log } from '../log/log.ts'
import { renderDiagnostic } from '../manifest/render-diagnostic.ts'
import type { Source } from '../repo/source.ts'
import type { Candidate } from '../rollout/start-rollout.ts'
import type { ControllerEvent } from './controller-event.ts'
import type { Judge, Verdict } from './judge.ts'
import type { PlanGate } from './plan-gate.ts'

export interface HeadWatcherOptions {
  readonly source: Source
  readonly judge: Judge
  readonly gate: PlanGate
  readonly log: Log
  readonly observe: (event: ControllerEvent) => void
  readonly now: () => number
}

/** What a head is judged against. */
export interface Standing {
  readonly accepted: Candidate | null
  readonly recorded: Revision | null
  /** The fleet is held at this revision, in place of the head; null: it is not. */
  readonly pin: Revision | null
  readonly reports: ReadonlyMap<string, NodeReport>
}

/** Looks at the branch, and says of its head whether it may be taken. */
export interface HeadWatcher {
  /** What cannot be read is a problem in the state, and hinders nothing of what was accepted. */
  look(standing: Standing): Promise<void>
  /** What is accepted is another: the head is judged anew. */
  forget(): void
  /** The head, or what the fleet is held at, when it may be taken; null: it may not, or there is none. */
  candidate(): Candidate | null
  /** It may be taken as such, but its rollout was stopped. Said once of each. */
  refuse(revision: Revision, diagnostics: readonly Diagnostic[], keeps: Revision | null): void
  /** What was accepted is refused no more. */
  taken(): void
  state(): Pick<RevisionState, 'seen' | 'rejected' | 'branch' | 'problems'>
}

export function createHeadWatcher(options: HeadWatcherOptions): HeadWatcher {
  const { source, judge, gate, log, observe, now } = options
  const { repository } = source
  let candidate: Candidate | null = null
  /** What was judged last, and whether a person had allowed it. */
  let looked: { revision: Revision; isAllowed: boolean } | null = null
  let seen: Revision | null = null
  let rejected: RevisionState['rejected'] = null
  let branch: string | null = null
  let problems: RevisionState['problems'] = []

  async function followBranch({ pin, reports, ...standing }: Standing): Promise<void> {
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
    seen = head
    const wanted = pin ?? head
    const isAllowed = allowed === wanted
    const keeps = standing.accepted?.revision ?? null
    if (looked?.revision === wanted && (!isAllowed || looked.isAllowed)) {
      const released = await gate.release(standing.accepted, wanted, reports)
      if (released !== null) takeVerdict({ revision: wanted, fleet: released, diagnostics: [] }, keeps)
      return
    }
    const isPinned = pin !== null
    const judging = judge({ head: wanted, branch, ...standing, isAllowed, isPinned })
    // Until it is awaited.
    judging.catch(() => {})
    const { subject, author } = await repository.describe(wanted).catch(async (error: unknown) => {
      // One revision after the other is judged.
      await judging.catch(() => {})
      throw error
    })
    if (looked?.revision !== wanted) {
      log.info({ revision: wanted, branch, author, subject }, 'push seen')
      observe({ type: 'push-seen', revision: wanted, subject, author })
    }
    const verdict = await judging
    // What a person has named by its revision needs nobody else's review.
    const isNamed = isAllowed || isPinned
    takeVerdict(isNamed ? verdict : await gate.judge(standing.accepted, verdict, reports), keeps)
    looked = { revision: wanted, isAllowed }
  }

  function takeVerdict({ revision, fleet, diagnostics }: Verdict, keeps: Revision | null): void {
    for (const diagnostic of diagnostics) {
      const level = diagnostic.severity === 'error' ? 'error' : 'warn'
      log[level]({ rule: diagnostic.rule }, renderDiagnostic(diagnostic))
    }
    candidate = fleet === null ? null : { revision, fleet }
    if (fleet === null) refuse(revision, diagnostics, keeps)
    else rejected = null
  }

  function refuse(revision: Revision, diagnostics: readonly Diagnostic[], keeps: Revision | null): void {
    if (rejected?.revision === revision && candidate !== null) return
    rejected = { revision, diagnostics: [...diagnostics], at: now() }
    observe({ type: 'refused', revision, diagnostics })
    log.error({ revision, problems: diagnostics.length, keeps }, 'revision refused; the last good one stays')
  }

  function noteProblems(found: readonly Omit<SourceProblem, 'since'>[]): void {
    const known = new Map(problems.map(problem => [problem.message, problem]))
    for (const { rule, message, hint } of found) {
      if (!known.has(message)) log.error({ rule }, `${message} ${hint}`)
    }
    problems = found.map(problem => ({ ...problem, since: known.get(problem.message)?.since ?? now() }))
  }

  return {
    async look(standing) {
      const found: Omit<SourceProblem, 'since'>[] = []
      try {
        found.push(...(await source.problems()))
        await followBranch(standing)
      } catch (error) {
        if (!(error instanceof BallastError)) throw error
        found.push({ rule: error.code, message: `${error.message}.`, hint: error.hint })
      }
      noteProblems(found)
    },
    forget() {
      looked = null
    },
    candidate: () => candidate,
    refuse,
    taken() {
      rejected = null
    },
    state: () => ({ seen, rejected, branch, problems }),
  }
}
