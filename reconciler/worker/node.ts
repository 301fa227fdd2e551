import type { EditFailure } from '../../schemas/edit.ts'
import { LAST_GOOD_VERSION, type LastGood } from '../../schemas/last-good.ts'
import type { NodeState } from '../../schemas/node-state.ts'
import type { DriftItem, Outcome } from '../../schemas/report.ts'
import type { Want } from '../../schemas/want.ts'
import { findDrift, trackDrift } from '../drift/find-drift.ts'
import { effectiveTables, type HealthView } from '../effective/effective-tables.ts'
import type { Log } from '../log/log.ts'
import { diffNode, isEmpty } from '../plan/diff.ts'
import { type Convergence, converge, type Drivers, isCurrent, observeNode, type Seen } from './converge.ts'
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
    drift: [],
    seen: null,
  }
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
      edits: { create: 0, update: 0, delete: 0 },
    }
    return true
  }

  async function step(signal: AbortSignal): Promise<void> {
    if (lastGood === null || now() < retry.after) return
    const seen = await lookAgain()
    if (seen === status.seen && settled) return
    settled = false
    status = { ...status, seen }

    const wanted = effectiveTables(lastGood.state.tables, options.health)
    if (isEmpty(diffNode(wanted, seen.tables))) {
      await finish()
      return
    }
    if (isApplied()) {
      await noticeDrift(findDrift(wanted, seen.tables, now()))
      if (lastGood.want.drift === 'hold') {
        status = {
          ...status,
          outcome: 'held',
          outcomeAt: status.outcome === 'held' ? status.outcomeAt : now(),
        }
        settled = true
        return
      }
    }
    const { generation } = lastGood.want
    log.debug({ generation }, 'converging')
    const done = await converge(drivers, wanted, seen, signal)
    status = { ...status, edits: done.edits, seen: done.seen }
    if (done.result === 'applied') await finish()
    else if (done.result === 'superseded') status = { ...status, outcome: 'superseded', outcomeAt: now() }
    else fail(done.failures)
  }

  /** What was seen last where nothing was changed since, unless that is long ago; else what is there now. */
  async function lookAgain(): Promise<Seen> {
    const known = status.seen
    if (known !== null && now() - readAt < FULL_READ_MS && (await isCurrent(known, drivers))) return known
    readAt = now()
    return observeNode(drivers)
  }

  /** The node is as wanted: remembers that, and what healed by it. */
  async function finish(): Promise<void> {
    if (lastGood !== null && !isApplied()) await keep({ ...lastGood, appliedInBoot: options.bootId })
    const drift = trackDrift(status.drift, [], now())
    for (const item of drift.filter(({ healedAt, key }) => healedAt !== null && isOpen(status.drift, key))) {
      log.info({ key: item.key, driver: item.driver, afterMs: item.healedAt! - item.since }, 'drift healed')
    }
    settled = true
    const reached = status.outcome === 'applied' && status.failures.length === 0
    status = {
      ...status,
      outcome: 'applied',
      failures: [],
      drift,
      outcomeAt: reached ? status.outcomeAt : now(),
    }
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

const isOpen = (drift: readonly DriftItem[], key: string): boolean =>
  drift.some(item => item.key === key && item.healedAt === null)
