import { BallastError } from '../../schemas/ballast-error.ts'
import type { Revision } from '../../schemas/want.ts'
import { type CommitStatus, type Forge, type ForgeKind, pullRef } from '../forge/forge.ts'
import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import type { MergePreview } from '../repo/merge-preview.ts'

/** What a plan says in a forge. */
export interface Review {
  /** Has `marker` in it. */
  readonly comment: string
  readonly marker: string
  readonly status: Omit<CommitStatus, 'context'>
}

export interface ReviewOptions {
  readonly forge: Forge
  readonly kind: ForgeKind
  /** The branch that is followed. */
  readonly branch: () => Promise<string | null>
  readonly resolve: (branch: string) => Promise<Revision | null>
  /** The commit of a ref of the project, brought here; null: there is none. */
  readonly bring: (ref: string) => Promise<Revision | null>
  readonly preview: (base: Revision, head: Revision) => Promise<MergePreview>
  /** What merging it would do. `head` is the merged tree. Throws `BallastError` when it cannot be planned. */
  readonly review: (base: Revision, head: Revision) => Promise<Review>
  /** What is said of a proposal of which there is no plan. */
  readonly refuse: (problems: string) => Review
  readonly log: Log
  readonly now: () => number
}

export interface Reviewer {
  /** A pull request has news. Any number of times while it waits is once. */
  ask(number: number): void
  /** Settles when the one under way is done; those that wait are forgotten. */
  stop(): Promise<void>
}

const CONFLICTS_SHOWN = 10

export function describeConflicts(branch: string, files: readonly string[]): string {
  const more = files.length > CONFLICTS_SHOWN ? ` and ${files.length - CONFLICTS_SHOWN} more files` : ''
  return `Conflicts with ${branch}: ${files.slice(0, CONFLICTS_SHOWN).join(', ')}${more}`
}

export const PLAN_CONTEXT = 'ballast/plan'

const TRIES = 5
/** A merge that was planned so lately is not planned again: a storm has nothing new to say of it. */
const FRESH_MS = 10_000
const FIRST_RETRY_MS = 2_000

/** Plans pull requests, one at a time, and says what comes of it where they are reviewed. */
export function createReviewer(options: ReviewOptions): Reviewer {
  const { log } = options
  /** The merge of each that was said last, and when. */
  const said = new Map<number, Said>()
  /** How often each was tried. */
  const waiting = new Map<number, number>()
  const timers = new Set<NodeJS.Timeout>()
  let isStopping = false

  async function work(): Promise<void> {
    for (const [number, tries] of waiting) {
      if (isStopping) return
      waiting.delete(number)
      try {
        await reviewPull(options, number, said)
      } catch (error) {
        const again =
          error instanceof BallastError && error.retryable && tries + 1 < TRIES && !waiting.has(number)
        log.warn({ err: error, pull: number, again }, 'the pull request could not be reviewed')
        if (again) retry(number, tries + 1, error.waitMs)
      }
    }
  }

  function retry(number: number, tries: number, waitMs: number): void {
    const timer = setTimeout(
      () => {
        timers.delete(timer)
        if (!waiting.has(number)) waiting.set(number, tries)
        loop.trigger('retry')
      },
      Math.max(FIRST_RETRY_MS * 2 ** (tries - 1), waitMs),
    )
    timers.add(timer)
  }

  const loop = createLoop(work, error => log.error({ err: error }, 'reviewing stopped'))

  return {
    ask(number) {
      waiting.set(number, 0)
      loop.trigger('asked')
    },
    async stop() {
      isStopping = true
      for (const timer of timers) clearTimeout(timer)
      await loop.stop()
    },
  }
}

interface Said {
  readonly merge: string
  readonly at: number
}

/** Of pull requests, those that were reviewed last. */
const KEPT = 1_000

async function reviewPull(options: ReviewOptions, number: number, said: Map<number, Said>): Promise<void> {
  const { forge, log, now } = options
  const pull = await forge.readPull(number)
  const branch = await options.branch()
  if (pull.state !== 'open' || pull.into !== branch) return
  const base = await options.resolve(`refs/heads/${branch}`)
  const head = await options.bring(pullRef(options.kind, number))
  if (base === null || head === null) return
  const merge = `${base} ${head}`
  const [last, at] = [said.get(number), now()]
  if (last?.merge === merge && at - last.at < FRESH_MS) return
  const merged = await options.preview(base, head)
  // The comment too: what it said of an earlier push no longer holds.
  const { comment, marker, status } =
    'conflicts' in merged
      ? options.refuse(describeConflicts(branch, merged.conflicts))
      : await options.review(base, merged.revision).catch(async (error: unknown) => {
          // The status of an earlier push, or of before the branch went on, no longer holds.
          const description = 'The plan could not be made; the log of the reconciler says why'
          await forge.putStatus(head, { context: PLAN_CONTEXT, state: 'error', description, url: null })
          throw error
        })
  await forge.putComment(number, marker, comment)
  await forge.putStatus(head, { context: PLAN_CONTEXT, ...status })
  said.delete(number)
  said.set(number, { merge, at })
  if (said.size > KEPT) said.delete(said.keys().next().value!)
  log.info({ pull: number, head, status: status.state }, 'pull request reviewed')
}
