import { isDeepStrictEqual } from 'node:util'
import type { Pause } from '../../schemas/drift-policy.ts'
import type { EditFailure } from '../../schemas/edit.ts'
import { LAST_GOOD_VERSION, type LastGood } from '../../schemas/last-good.ts'
import type { NodeState, NodeTables } from '../../schemas/node-state.ts'
import type { DriftItem, HealedBy, Outcome } from '../../schemas/report.ts'
import type { Want } from '../../schemas/want.ts'
import { findDrift } from '../drift/find-drift.ts'
import { leaveHeld, type RepairDecision, rowName } from '../drift/repair-decision.ts'
import { effectiveTables, type HealthView } from '../effective/effective-tables.ts'
import type { Log } from '../log/log.ts'
import { compareAhead, diffNode, isEmpty } from '../plan/diff.ts'
import { createBreather, inSteps } from '../process/breather.ts'
import {
  type Convergence,
  converge,
  type Drivers,
  isCurrent,
  leaveUnreadable,
  observeNode,
  type Seen,
  unreadableFailures,
} from './converge.ts'
import type { Departures } from './departures.ts'
import { createDriftWatch } from './drift-watch.ts'
import { openLastGoodFile } from './last-good-file.ts'

/** A full read happens at least this often, whatever the fingerprints say, ms. */
const FULL_READ_MS = 60_000
const RETRY_FIRST_MS = 500
const RETRY_LAST_MS = 30_000
/** What fails may be what is hinted at: an attempt that fails is not the reason for the next one at once. */
const HURRIED_RETRY_MS = 1_000

/** What the node knows of itself: what a report says, less who and when. */
export interface Status {
  readonly outcome: Outcome | null
  readonly outcomeAt: number | null
  readonly edits: Convergence['edits']
  readonly failures: readonly EditFailure[]
  /** What waits for a condition, in words. */
  readonly pending: readonly string[]
  readonly drift: readonly DriftItem[]
  readonly seen: Seen | null
}

export interface Node {
  readonly lastGood: LastGood | null
  readonly status: Status
  /** Takes a newer want with its state and keeps it on disk. False: not newer than the one it has (rule 7). */
  adopt(want: Want, state: NodeState): Promise<boolean>
  /** One look, and what it calls for: nothing, a repair, or work on a want. Throws when the drivers cannot be read. */
  step(signal: AbortSignal): Promise<void>
  /** Something changed: what failed a second ago or earlier may be tried again. */
  hurry(): void
}

export interface NodeOptions {
  readonly file: string
  readonly lastGood: LastGood | null
  readonly drivers: Drivers
  readonly departures: Departures
  readonly health: HealthView
  readonly bootId: string
  readonly log: Log
  readonly now: () => number
  /** Called when there is something to report before the step is over: drift that is about to be repaired. */
  readonly onNews: () => Promise<void>
  /** Somebody works on the node by hand; null: nobody. */
  readonly pause: () => Pause | null
  /** Who else writes to a row's table; null: not known. */
  readonly findWriter: (item: DriftItem) => Promise<string | null>
}

export function createNode(options: NodeOptions): Node {
  const { drivers, log, now } = options
  const disk = openLastGoodFile(options.file)
  const breathe = createBreather()
  let lastGood = options.lastGood
  let status: Status = {
    outcome: null,
    outcomeAt: null,
    edits: { create: 0, update: 0, delete: 0 },
    failures: [],
    pending: [],
    drift: [],
    seen: null,
  }
  /** What the node was last brought to on its way to this want; null: not yet by this process. */
  let reached: NodeTables | null = null
  const watch = createDriftWatch(options)
  /** The want is newer than what was last found right. */
  let isNewWant = false
  /** There is nothing to do about what was seen last. */
  let settled = false
  let readAt = 0
  let retry = { after: 0, delay: RETRY_FIRST_MS }

  const isApplied = (): boolean => lastGood?.appliedInBoot === options.bootId
  const keep = async (next: LastGood): Promise<void> => {
    await disk.write(next)
    lastGood = next
  }

  async function adopt(want: Want, state: NodeState): Promise<boolean> {
    if (lastGood !== null && want.generation <= lastGood.want.generation) return false
    const same = lastGood?.want.stateDigest === want.stateDigest
    await keep({
      version: LAST_GOOD_VERSION,
      want,
      state,
      appliedInBoot: same ? (lastGood?.appliedInBoot ?? null) : null,
    })
    settled = false
    retry = { after: 0, delay: RETRY_FIRST_MS }
    status = {
      ...status,
      outcome: null,
      outcomeAt: null,
      failures: [],
      pending: [],
      edits: { create: 0, update: 0, delete: 0 },
    }
    reached = null
    isNewWant = true
    watch.forget()
    return true
  }

  async function step(signal: AbortSignal): Promise<void> {
    if (lastGood === null || now() < retry.after) return
    await breathe()
    const seen = await lookAgain()
    await breathe()
    if (seen === status.seen && settled) return
    settled = false
    status = { ...status, seen }

    const wanted = leaveUnreadable(effectiveTables(lastGood.state.tables, options.health), seen)
    await inSteps(compareAhead(wanted, seen.tables), breathe)
    const pause = options.pause()
    if (pause !== null && !isEmpty(diffNode(wanted, seen.tables)))
      await rest(pause, wanted, seen, lastGood.want)
    else {
      await breathe()
      await approach(wanted, seen, lastGood.want, signal)
    }
  }

  /** Somebody works here by hand: nothing is changed, also not for a new want, until that ends. */
  async function rest(pause: Pause, wanted: NodeTables, { tables }: Seen, want: Want): Promise<void> {
    const found = isApplied() ? findDrift(wanted, tables, now()) : []
    const { drift } = await watch.notice(status.drift, found, want, pause)
    const until = new Date(pause.until).toISOString()
    hold({ ...status, drift, pending: [`paused until ${until} by ${pause.by}: ${pause.why}`] })
    await options.onNews()
  }

  function hold(next: Status): void {
    const outcomeAt = status.outcome === 'held' ? status.outcomeAt : now()
    status = { ...next, outcome: 'held', outcomeAt }
  }

  /** Step by step, until the node is as wanted or what is left must wait. */
  async function approach(wanted: NodeTables, before: Seen, want: Want, signal: AbortSignal): Promise<void> {
    let seen = before
    let edits: Convergence['edits'] = { create: 0, update: 0, delete: 0 }
    let noticed: Pick<RepairDecision, 'held' | 'isWaiting'> | null = null
    for (;;) {
      // What is there beyond a state that was reached is drift, and nothing that was on its way out.
      const { target: whole, pending } = isApplied()
        ? { target: wanted, pending: [] }
        : await options.departures.plan(wanted, seen.tables, want.handover)
      await breathe()
      const target = noticed === null ? whole : leaveHeld(whole, seen.tables, noticed.held)
      if (isEmpty(diffNode(target, seen.tables))) {
        const healedBy = isNewWant ? 'want' : seen === before ? 'others' : 'repair'
        if (noticed !== null && noticed.held.size > 0) {
          const { held, isWaiting } = noticed
          const left = status.drift.filter(item => item.healedAt === null && held.has(rowName(item)))
          hold({ ...status, failures: [], drift: watch.settle(status.drift, left, healedBy) })
          settled = !isWaiting
          return
        }
        reached = target
        await finish(pending, healedBy)
        return
      }
      const should = isApplied() ? wanted : reached
      const mayDrift = noticed === null ? seen === before : isApplied()
      const found = mayDrift && should !== null ? findDrift(should, seen.tables, now()) : []
      const goesOn = noticed === null ? [] : found.filter(isKnown)
      if (found.length > goesOn.length) {
        // More came while that was repaired.
        if (noticed !== null) status = { ...status, drift: watch.settle(status.drift, goesOn, 'repair') }
        noticed = await noticeDrift(found, want)
        if (noticed.held.size > 0) continue
      }
      log.debug({ generation: want.generation }, 'converging')
      const done = await converge(drivers, target, seen, signal)
      await breathe()
      seen = done.seen
      edits = addCounts(edits, done.edits)
      status = { ...status, edits, seen }
      if (done.result === 'superseded') status = { ...status, outcome: 'superseded', outcomeAt: now() }
      else if (done.result === 'failed') fail(done.failures)
      if (done.result !== 'applied') return
    }
  }

  /** What was seen last where nothing was changed since, unless that is long ago; else what is there now. */
  async function lookAgain(): Promise<Seen> {
    const known = status.seen
    if (known !== null && now() - readAt < FULL_READ_MS && (await isCurrent(known, drivers))) return known
    readAt = now()
    return observeNode(drivers)
  }

  /** The node is as wanted, but for what must wait: remembers that, and what healed by it. */
  async function finish(pending: readonly string[], healedBy: HealedBy): Promise<void> {
    const unread = status.seen === null ? [] : unreadableFailures(status.seen)
    if (unread.length > 0) {
      status = { ...status, drift: watch.settle(status.drift, [], healedBy) }
      failToRead(unread)
      return
    }
    if (lastGood !== null && !isApplied() && pending.length === 0)
      await keep({ ...lastGood, appliedInBoot: options.bootId })
    const drift = watch.settle(status.drift, [], healedBy)
    isNewWant = pending.length > 0
    settled = pending.length === 0
    const outcome = settled ? 'applied' : 'pending'
    const known = status.outcome === outcome && status.failures.length === 0
    const outcomeAt = known ? status.outcomeAt : now()
    status = { ...status, outcome, failures: [], pending, drift, outcomeAt }
    retry = { after: 0, delay: RETRY_FIRST_MS }
  }

  /** What can be read is as wanted; it is looked at as often as ever. */
  function failToRead(failures: readonly EditFailure[]): void {
    const known = status.outcome === 'failed' && isDeepStrictEqual(status.failures, failures)
    if (known) return
    for (const failure of failures) log.error({ ...failure }, 'could not be read; it stays as it is')
    status = { ...status, outcome: 'failed', outcomeAt: now(), failures }
  }

  function fail(failures: readonly EditFailure[]): void {
    for (const failure of failures) log.error({ ...failure }, 'not applied')
    status = { ...status, outcome: 'failed', outcomeAt: now(), failures }
    retry = { after: now() + retry.delay, delay: Math.min(2 * retry.delay, RETRY_LAST_MS) }
  }

  const isKnown = (item: DriftItem): boolean =>
    status.drift.some(known => known.healedAt === null && rowName(known) === rowName(item))

  async function noticeDrift(found: readonly DriftItem[], want: Want) {
    const noticed = await watch.notice(status.drift, found, want, null)
    status = { ...status, drift: noticed.drift }
    await options.onNews()
    return noticed
  }

  return {
    get lastGood() {
      return lastGood
    },
    get status() {
      return status
    },
    adopt,
    step,
    hurry() {
      const after = Math.min(retry.after, (status.outcomeAt ?? 0) + HURRIED_RETRY_MS)
      retry = { ...retry, after }
    },
  }
}

const addCounts = (a: Convergence['edits'], b: Convergence['edits']): Convergence['edits'] => ({
  create: a.create + b.create,
  update: a.update + b.update,
  delete: a.delete + b.delete,
})
