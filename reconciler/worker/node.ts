import type { EditFailure } from '../../schemas/edit.ts'
import { LAST_GOOD_VERSION, type LastGood } from '../../schemas/last-good.ts'
import type { NodeState, NodeTables } from '../../schemas/node-state.ts'
import type { DriftItem, Outcome } from '../../schemas/report.ts'
import type { Want } from '../../schemas/want.ts'
import { findDrift, trackDrift } from '../drift/find-drift.ts'
import { effectiveTables, type HealthView } from '../effective/effective-tables.ts'
import type { Log } from '../log/log.ts'
import { diffNode, isEmpty } from '../plan/diff.ts'
import { type Convergence, converge, type Drivers, isCurrent, observeNode, type Seen } from './converge.ts'
import type { Departures } from './departures.ts'
import { openLastGoodFile } from './last-good-file.ts'

/** A full read happens at least this often, whatever the fingerprints say, ms. */
const FULL_READ_MS = 60_000
const RETRY_FIRST_MS = 500
const RETRY_LAST_MS = 30_000

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
}

export function createNode(options: NodeOptions): Node {
  const { drivers, log, now } = options
  const disk = openLastGoodFile(options.file)
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
    return true
  }

  async function step(signal: AbortSignal): Promise<void> {
    if (lastGood === null || now() < retry.after) return
    const seen = await lookAgain()
    if (seen === status.seen && settled) return
    settled = false
    status = { ...status, seen }

    const wanted = effectiveTables(lastGood.state.tables, options.health)
    await approach(wanted, seen, lastGood.want, signal)
  }

  /** Step by step, until the node is as wanted or what is left must wait. */
  async function approach(wanted: NodeTables, before: Seen, want: Want, signal: AbortSignal): Promise<void> {
    let seen = before
    let edits: Convergence['edits'] = { create: 0, update: 0, delete: 0 }
    for (;;) {
      // What is there beyond a state that was reached is drift, and nothing that was on its way out.
      const { target, pending } = isApplied()
        ? { target: wanted, pending: [] }
        : await options.departures.plan(wanted, seen.tables, want.handover)
      if (isEmpty(diffNode(target, seen.tables))) {
        reached = target
        await finish(pending)
        return
      }
      const should = isApplied() ? wanted : reached
      if (seen === before && should !== null) {
        const drift = findDrift(should, seen.tables, now())
        if (drift.length > 0) await noticeDrift(drift)
        if (drift.length > 0 && want.drift === 'hold') {
          const outcomeAt = status.outcome === 'held' ? status.outcomeAt : now()
          status = { ...status, outcome: 'held', outcomeAt }
          settled = true
          return
        }
      }
      log.debug({ generation: want.generation }, 'converging')
      const done = await converge(drivers, target, seen, signal)
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
  async function finish(pending: readonly string[]): Promise<void> {
    if (lastGood !== null && !isApplied() && pending.length === 0)
      await keep({ ...lastGood, appliedInBoot: options.bootId })
    const drift = trackDrift(status.drift, [], now())
    for (const item of drift.filter(({ healedAt, key }) => healedAt !== null && isOpen(status.drift, key))) {
      log.info({ key: item.key, driver: item.driver, afterMs: item.healedAt! - item.since }, 'drift healed')
    }
    settled = pending.length === 0
    const outcome = settled ? 'applied' : 'pending'
    const known = status.outcome === outcome && status.failures.length === 0
    const outcomeAt = known ? status.outcomeAt : now()
    status = { ...status, outcome, failures: [], pending, drift, outcomeAt }
    retry = { after: 0, delay: RETRY_FIRST_MS }
  }

  function fail(failures: readonly EditFailure[]): void {
    for (const failure of failures) log.error({ ...failure }, 'not applied')
    status = { ...status, outcome: 'failed', outcomeAt: now(), failures }
    retry = { after: now() + retry.delay, delay: Math.min(2 * retry.delay, RETRY_LAST_MS) }
  }

  async function noticeDrift(found: readonly DriftItem[]): Promise<void> {
    for (const item of found.filter(({ key }) => !isOpen(status.drift, key))) {
      log.warn(
        {
          driver: item.driver,
          key: item.key,
          kind: item.kind,
          desired: item.desired,
          observed: item.observed,
        },
        'drift',
      )
    }
    status = { ...status, drift: trackDrift(status.drift, found, now()) }
    await options.onNews()
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
  }
}

const addCounts = (a: Convergence['edits'], b: Convergence['edits']): Convergence['edits'] => ({
  create: a.create + b.create,
  update: a.update + b.update,
  delete: a.delete + b.delete,
})

const isOpen = (drift: readonly DriftItem[], key: string): boolean =>
  drift.some(item => item.key === key && item.healedAt === null)
