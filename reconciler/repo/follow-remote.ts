import { BallastError } from '../../schemas/ballast-error.ts'
import type { PullState } from '../../schemas/revision-state.ts'
import type { Log } from '../log/log.ts'
import { createBell } from './bell.ts'
import type { Mirror } from './mirror.ts'
import { needsPerson, type Remote, type RemoteRefs } from './remote.ts'

export interface FollowOptions {
  readonly remote: Remote
  readonly mirror: Mirror
  /** The branch; null: the remote's default branch, which is then given to `remember`. */
  readonly branch: () => Promise<string | null>
  readonly remember: (branch: string) => Promise<void>
  /** Whether the remote's default branch is of interest though `branch` is known. */
  readonly withDefault: boolean
  /** ms between two looks that go well. */
  readonly pollInterval: number
  readonly log: Log
}

/** Keeps a mirror like its remote. */
export interface RemoteFollower {
  /** Starts to look from time to time. */
  start(): void
  /** Look soon; any number of times while it looks is once more. */
  poll(): void
  /** Looks once, now; throws what `Remote` throws. */
  pull(): Promise<void>
  state(): PullState
  /** What HEAD named when it was last asked. */
  defaultBranch(): string | null
  /** Yields at once, and whenever the branch moved or `state().error` changed. */
  changes(signal: AbortSignal): AsyncGenerator<void>
  close(): Promise<void>
}

const LONGEST_BACKOFF_MS = 300_000
/** What only a person can mend is not asked for more often. */
const BACKOFF_FOR_PERSON_MS = 60_000
/** Pokes do not make a remote that fails be asked more often, ms. */
const POKED_BACKOFF_MS = 5_000

export async function followRemote(options: FollowOptions): Promise<RemoteFollower> {
  const { remote, mirror, pollInterval, log } = options
  const changed = createBell()
  let isPoked = false
  let isEnding = false
  let wake = (): void => {}
  const state: { lastAt: number | null; error: PullState['error'] } = {
    lastAt: await mirror.lastPull(),
    error: null,
  }
  let defaultBranch: string | null = null
  let failures = 0
  let running: Promise<void> | null = null
  let collecting: Promise<void> | null = null

  async function look(): Promise<void> {
    const branch = await options.branch()
    const found = await remote.list({ branch, withDefault: options.withDefault })
    const wasDefault = defaultBranch
    if (found.defaultBranch !== null) defaultBranch = found.defaultBranch
    const moved = await bring(branch ?? found.defaultBranch, found)
    if (branch === null && found.defaultBranch !== null && found.tip !== null) {
      await options.remember(found.defaultBranch)
    }
    state.lastAt = Date.now()
    await mirror.pulled(state.lastAt)
    if (moved || wasDefault !== defaultBranch) changed.ring()
  }

  async function bring(branch: string | null, { tip }: RemoteRefs): Promise<boolean> {
    if (branch === null) return false
    const head = await mirror.head(branch)
    if (head === tip) return false
    const brought = tip === null ? null : await remote.fetch(`refs/heads/${branch}`, mirror.place)
    if (brought === head) return false
    await mirror.move(branch, brought, head)
    log.debug({ remote: remote.url, branch, revision: brought }, 'fetched')
    collecting ??= mirror
      .collect()
      .catch((error: unknown) => log.warn({ err: error }, 'the mirror could not be collected'))
      .finally(() => {
        collecting = null
      })
    return true
  }

  /** Said once for each change, not for each try. */
  function note(error: BallastError | null): void {
    failures = error === null ? 0 : failures + 1
    if (error?.code === state.error?.code) return
    const since = Date.now()
    if (error === null) log.info({ remote: remote.url }, 'the remote answers again')
    else log.error({ err: error, remote: remote.url }, 'the remote cannot be read; what was accepted stays')
    state.error =
      error === null ? null : { code: error.code, message: error.message, hint: error.hint, since }
    changed.ring()
  }

  async function lookAndNote(): Promise<BallastError | null> {
    try {
      await look()
      note(null)
      return null
    } catch (error) {
      const known = asBallastError(error)
      if (!isEnding) note(known)
      return known
    }
  }

  async function run(): Promise<void> {
    while (!isEnding) {
      isPoked = false
      const error = await lookAndNote()
      const due = spread(error === null ? pollInterval : backoff(pollInterval, failures, error))
      const deaf = error === null ? 0 : needsPerson(error) ? due : Math.min(due, POKED_BACKOFF_MS)
      await rest(deaf, () => isEnding)
      await rest(due - deaf, () => isEnding || isPoked)
    }
  }

  /** ms, or until it is to be over. */
  async function rest(ms: number, isOver: () => boolean): Promise<void> {
    if (ms <= 0 || isOver()) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        if (!isOver()) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  return {
    start() {
      running ??= run()
    },
    poll() {
      isPoked = true
      wake()
    },
    async pull() {
      await look()
    },
    state: () => ({ ...state }),
    defaultBranch: () => defaultBranch,
    async *changes(signal) {
      signal.addEventListener('abort', changed.ring, { once: true })
      while (!signal.aborted) {
        yield
        await changed.heard()
      }
    },
    async close() {
      isEnding = true
      wake()
      remote.close()
      await running
      await collecting
    },
  }
}

/** Doubles with each failure. */
const backoff = (interval: number, failures: number, error: BallastError): number =>
  Math.min(
    LONGEST_BACKOFF_MS,
    Math.max(interval, needsPerson(error) ? BACKOFF_FOR_PERSON_MS : 0) * 2 ** Math.min(failures - 1, 10),
  )

/** A tenth up or down, so that many that failed together do not come back together. */
const spread = (ms: number): number => ms * (0.9 + Math.random() * 0.2)

const asBallastError = (error: unknown): BallastError =>
  error instanceof BallastError
    ? error
    : new BallastError({
        code: 'GIT_REMOTE_FAILED',
        message: (error as Error).message,
        hint: 'See the cause in the log.',
        retryable: true,
        cause: error,
      })
