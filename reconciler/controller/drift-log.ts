import { asBallastError } from '../../schemas/ballast-error.ts'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { applyChanges, type DriftHistory, nextChanges } from '../drift/drift-history.ts'
import { composeCommit, readHistory } from '../drift/drift-message.ts'
import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import type { DriftBranch } from '../repo/drift-branch.ts'

/** What the fleet reports of its drift. */
export interface DriftView {
  readonly records: readonly DriftRecord[]
  /** Whether what is not among the records of a node is gone: the node reported, or has left the fleet. */
  isKnown(node: string): boolean
}

export interface DriftLogOptions {
  readonly branch: DriftBranch
  readonly readDrift: () => DriftView
  /** Of the lease; null while another reconciler leads. */
  readonly epoch: () => number | null
  /** ms */
  readonly commitAfter: number
  readonly subjectSuffix: string
  readonly log: Log
  readonly now: () => number
}

export interface DriftLogState {
  /** Commits since this process began. */
  readonly commits: number
  /** Commits that are not pushed yet. */
  readonly waiting: number
  /** Why not, once for each reason; null: all is pushed. */
  readonly problem: string | null
}

/** Commits the drift of the fleet while this process leads. What cannot be pushed waits on disk, in order, and is tried again. */
export interface DriftLog {
  /** Something was reported, or this process leads from now on. */
  look(): void
  state(): DriftLogState
  stop(): Promise<void>
}

/** Changes of one commit. */
const AT_ONCE = 200
const RETRY_FIRST_MS = 1_000
const RETRY_LAST_MS = 300_000

export function startDriftLog(options: DriftLogOptions): DriftLog {
  const { branch, readDrift, log, now } = options
  /** Null: to be read from the branch. */
  let history: DriftHistory | null = null
  let lastEpoch: number | null = null
  let state: DriftLogState = { commits: 0, waiting: 0, problem: null }
  let retry = { at: 0, delay: RETRY_FIRST_MS }
  let timer: NodeJS.Timeout | null = null

  /** What could not be had from the server yet is joined when it is pushed. */
  async function restore(): Promise<DriftHistory> {
    await branch.fetch().catch(complain)
    state = { ...state, waiting: await branch.waiting() }
    return readHistory(await branch.read())
  }

  function complain(error: unknown): void {
    const { code, message, hint } = asBallastError(error)
    if (state.problem !== message) {
      log.warn({ code, waiting: state.waiting }, `drift cannot be pushed: ${message}. ${hint}`)
    }
    state = { ...state, problem: message }
  }

  /** Gives when to look again, in ms since the epoch; null: when something is reported. */
  async function commitDue(known: DriftHistory, epoch: number): Promise<number | null> {
    const { records, isKnown } = readDrift()
    const { commitAfter, subjectSuffix: suffix } = options
    const { changes, dueAt } = nextChanges({ history: known, records, isKnown, now: now(), commitAfter })
    if (changes.length === 0) return dueAt
    const some = changes.slice(0, AT_ONCE)
    const commit = composeCommit(some, { suffix, epoch, now: now() })
    const revision = await branch.commit(commit)
    history = applyChanges(known, some)
    state = { ...state, commits: state.commits + 1, waiting: state.waiting + 1 }
    log.info({ revision, changes: some.length }, commit.message.slice(0, commit.message.indexOf('\n')))
    return some.length < changes.length ? now() : dueAt
  }

  async function push(epoch: number): Promise<void> {
    if (state.waiting === 0 || now() < retry.at) return
    try {
      const done = await branch.push(epoch)
      // What others told there is told.
      if (done === 'rebuilt') history = null
      if (state.problem !== null) log.info({ to: branch.url }, 'drift is pushed again')
      state = { ...state, waiting: 0, problem: null }
      retry = { at: 0, delay: RETRY_FIRST_MS }
    } catch (error) {
      complain(error)
      retry = { at: now() + retry.delay, delay: Math.min(2 * retry.delay, RETRY_LAST_MS) }
    }
  }

  const loop = createLoop(
    async () => {
      const epoch = options.epoch()
      if (epoch !== lastEpoch) history = null
      lastEpoch = epoch
      if (epoch === null) return
      history ??= await restore()
      const dueAt = await commitDue(history, epoch)
      await push(epoch)
      const times = [dueAt, state.waiting > 0 ? retry.at : null, history === null ? now() : null]
      wakeAt(times.filter(time => time !== null))
    },
    error => {
      log.error({ err: error }, 'drift could not be committed; trying again')
      wakeAt([now() + RETRY_FIRST_MS])
    },
  )

  function wakeAt(times: readonly number[]): void {
    if (timer !== null) clearTimeout(timer)
    timer =
      times.length === 0
        ? null
        : setTimeout(() => loop.trigger('due'), Math.max(0, Math.min(...times) - now()))
  }

  return {
    look: () => loop.trigger('look'),
    state: () => state,
    async stop() {
      if (timer !== null) clearTimeout(timer)
      // A push that hangs ends with it.
      await Promise.all([loop.stop(), branch.close()])
      if (timer !== null) clearTimeout(timer)
    },
  }
}
