import { readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { asBallastError, BallastError } from '../../schemas/ballast-error.ts'
import type { Pause } from '../../schemas/drift-policy.ts'
import type { Heartbeat } from '../../schemas/heartbeat.ts'
import type { DriverName, NodeState } from '../../schemas/node-state.ts'
import type { DriftItem, NodeReport } from '../../schemas/report.ts'
import type { PackedChange } from '../../schemas/tables-change.ts'
import type { TrafficCounts } from '../../schemas/traffic-counts.ts'
import type { Digest, Want } from '../../schemas/want.ts'
import type { HealthView } from '../effective/effective-tables.ts'
import type { Log } from '../log/log.ts'
import { acquireFileLock } from '../process/file-lock.ts'
import { createLoop } from '../process/loop.ts'
import { noteActivity } from './activity.ts'
import type { Drivers } from './converge.ts'
import { openDepartures } from './departures.ts'
import { describeForeign, findForeign, readLastGood } from './last-good-file.ts'
import { makeReport } from './make-report.ts'
import { createNode, type Status } from './node.ts'
import { openKeptPause } from './pause-file.ts'

const WANT_INTERVAL_MS = 10_000
const NEWS_WAIT_MS = 100
/** What is wanted is there, and is nothing that this version can take. */
const UNREADABLE = ['QUEUE_VALUE_UNREADABLE', 'STATE_UNREADABLE', 'STATE_CORRUPT']

/** What the worker needs of the control plane. Every call may fail; the worker then goes on with what it has. */
export interface ControlPlane {
  readWant(node: string): Promise<Want | null>
  /** What comes of a change of a state; null when that is not the state of this digest. */
  changeState(have: NodeState, change: PackedChange, digest: Digest): NodeState | null
  /** Null when part of it is not there (yet). */
  readState(digest: Digest, have: NodeState | null): Promise<NodeState | null>
  publishReport(report: NodeReport): Promise<void>
  /** That somebody works on the node by hand, or has ended it; null: nothing is known of it. */
  readPause(node: string): Promise<Pause | null>
}

export interface WorkerOptions {
  readonly node: string
  readonly stateDir: string
  readonly version: string
  readonly drivers: Drivers
  readonly controlPlane: ControlPlane
  readonly health: HealthView
  /** Who else writes to a row's table; null: not known. */
  readonly findWriter: (item: DriftItem) => Promise<string | null>
  /** For the gates of rollouts; null: nothing counts here. */
  readonly countTraffic: () => Promise<TrafficCounts | null>
  readonly scanIntervalMs: number
  /** How often a report is sent though nothing has changed. */
  readonly reportIntervalMs: number
  readonly log: Log
  readonly now: () => number
}

/** A want as it was published, and what it changes in the state that was wanted before; null: not told. */
export interface OfferedWant {
  readonly want: Want
  readonly change: PackedChange | null
}

export interface Worker {
  /** A want of this generation may be there: look, or take the one that is offered. Settles when it was worked on. */
  wake(generation: number, offer?: OfferedWant | null): Promise<void>
  /** What its round is at; null: it waits for the next. */
  doing(): Heartbeat['doing']
  /** Ends after the batch under way; the dataplane stays as it is. */
  stop(): Promise<void>
}

/**
 * Starts the worker of one node. First it restores what it kept on disk, with nothing reachable; then it
 * follows the wants. Throws `LOCKED` when the node has a worker already, `LAST_GOOD_UNREADABLE`.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { log, now, controlPlane } = options
  const activity = noteActivity(options.drivers, () => performance.now())
  const { drivers } = activity
  const file = join(options.stateDir, 'last-good.json')
  const lock = acquireFileLock(join(options.stateDir, 'lock'), `worker of ${options.node}`)
  const startedAt = now()
  const foreign = await findForeign(file)
  const pause = await openKeptPause(join(options.stateDir, 'pause.json'))
  const node = createNode({
    file,
    drivers,
    departures: await openDepartures(join(options.stateDir, 'leaving.json'), drivers, now),
    log,
    now,
    health: options.health,
    lastGood: foreign === null ? await readLastGood(file) : null,
    bootId: await readBootId(),
    // A repair does not wait for a control plane that is away.
    onNews: () => Promise.race([report(), delay(NEWS_WAIT_MS)]),
    pause: currentPause,
    findWriter: options.findWriter,
  })

  let batch = new AbortController()
  let wantReadAt = 0
  let published = { text: '', at: 0 }
  let reachable = true
  let complaint = ''
  /** Why the drivers cannot be read; null while they can. */
  let blindness: ReturnType<typeof refuse> | null = null
  let refusal = foreign === null ? null : refuse(describeForeign(file, foreign.version), startedAt)
  if (refusal !== null) log.error({ generation: foreign?.generation }, refusal.failure.message)

  /** The newest that was offered and not looked at yet. */
  let offered: OfferedWant | null = null

  async function readWant(): Promise<OfferedWant | null> {
    wantReadAt = now()
    const want = await controlPlane.readWant(options.node)
    return want === null ? null : { want, change: null }
  }

  function currentPause(): Pause | null {
    return pause.current(now())
  }

  async function readPause(): Promise<void> {
    const before = currentPause()
    // A Redis or a disk that is away ends no pause.
    await controlPlane
      .readPause(options.node)
      .then(pause.take)
      .catch(() => {})
    const after = currentPause()
    if (after?.until === before?.until) return
    if (after === null) log.info({}, 'the pause has ended')
    else log.warn({ ...after }, 'paused: nothing is changed here')
  }

  async function adoptWant(): Promise<void> {
    const offer = offered
    offered = null
    const isNew = (offer?.want.generation ?? 0) > (node.lastGood?.want.generation ?? 0)
    const found = isNew ? offer : await readWant()
    if (found === null) return
    const { want, change } = found
    const have = node.lastGood
    if (have !== null && want.generation <= have.want.generation) {
      refusal = null
      if (want.generation < have.want.generation) {
        log.warn({ offered: want.generation, have: have.want.generation }, 'refused an older want')
      }
      return
    }
    // The one of the same generation is the same want.
    if (have === null && foreign !== null && want.generation < foreign.generation) {
      log.warn({ offered: want.generation, have: foreign.generation }, 'refused an older want')
      return
    }
    const state =
      (change === null || have === null
        ? null
        : controlPlane.changeState(have.state, change, want.stateDigest)) ??
      (await controlPlane.readState(want.stateDigest, have?.state ?? null))
    if (state === null) {
      log.warn({ generation: want.generation }, 'the state of a want is not there yet; asking again')
      wantReadAt = 0
      return
    }
    if (state.node !== options.node) {
      log.error({ generation: want.generation, of: state.node }, 'refused a want for another node')
      return
    }
    if (await node.adopt(want, state)) {
      refusal = null
      log.info({ generation: want.generation, revision: want.revision }, 'new want')
    }
  }

  /** Once for each reason. Redis out of reach is told of when the report does not get through. */
  function complain(error: unknown): void {
    const { code, message } = error as Partial<BallastError>
    if (error instanceof BallastError && UNREADABLE.includes(error.code)) refusal = refuse(error, now())
    const known = code === 'REDIS_UNREACHABLE' || message === complaint
    complaint = message ?? ''
    if (known) log.debug({ err: error }, 'no want could be read')
    else log.warn({ err: error }, 'the want cannot be read; what the node has stays')
  }

  function currentStatus(): Status {
    if (blindness !== null) {
      return { ...node.status, outcome: 'failed', outcomeAt: blindness.at, failures: [blindness.failure] }
    }
    if (refusal === null) return node.status
    return { ...node.status, outcome: 'refused', outcomeAt: refusal.at, failures: [refusal.failure] }
  }

  /** A node that cannot be looked at reports that, and is no silent one. Told once for each reason. */
  async function look(): Promise<void> {
    try {
      await node.step(batch.signal)
      if (blindness !== null) log.info({}, 'the node can be looked at again')
      blindness = null
    } catch (error) {
      const fault = asBallastError(error)
      if (blindness?.failure.message === fault.message) return
      log.error({ err: error }, 'could not look at the node; what it holds stays')
      blindness = refuse(fault, now())
    }
  }

  async function report(): Promise<void> {
    const at = now()
    const made = makeReport(
      {
        ...{ node: options.node, at, worker: { pid: process.pid, startedAt, version: options.version } },
        paused: currentPause(),
      },
      node.lastGood,
      currentStatus(),
    )
    const text = JSON.stringify({ ...made, at: 0 })
    if (text === published.text && at - published.at < options.reportIntervalMs) return
    try {
      // Counters alone are no news, and where they cannot be read the rest must still be told.
      const traffic = await options.countTraffic().catch(() => null)
      await controlPlane.publishReport({ ...made, traffic })
      published = { text, at }
      if (!reachable) log.info({}, 'control plane reachable again')
      reachable = true
    } catch (error) {
      if (reachable) log.warn({ err: error }, 'control plane unreachable; the dataplane keeps forwarding')
      reachable = false
    }
  }

  /** For the watchdog. A disk that is full is told by what really needs it. */
  const giveSign = (): Promise<void> => touch(join(options.stateDir, 'alive')).catch(() => {})

  async function work(reasons: ReadonlySet<string>): Promise<void> {
    await giveSign()
    batch = new AbortController()
    const due = now() - wantReadAt >= WANT_INTERVAL_MS
    const restoring = reasons.has('start')
    if (!restoring && (reasons.has('wake') || due)) {
      // Who offers a want does not wait for this; while Redis is away, both wait as long as one.
      const pauseRead = offered === null ? readPause() : null
      await adoptWant().then(() => {
        complaint = ''
      }, complain)
      await pauseRead
    }
    if (reasons.has('hint')) node.hurry()
    const before = node.status.outcome
    await look()
    const { outcome, edits, failures } = node.status
    if (outcome !== before && node.lastGood !== null) {
      const { generation, revision } = node.lastGood.want
      log.info({ generation, revision, outcome, ...edits, failures: failures.length }, 'outcome')
    }
    await report()
    if (restoring || outcome === 'superseded') loop.trigger('wake')
  }

  const waiting: (() => void)[] = []
  const loop = createLoop(
    async reasons => {
      const answered = reasons.has('wake') ? waiting.splice(0) : []
      try {
        await activity.round(() => work(reasons))
      } finally {
        for (const answer of answered) answer()
      }
    },
    error => log.error({ err: error }, 'a round of the worker failed; the next one comes'),
  )
  const timer = setInterval(() => loop.trigger('scan'), options.scanIntervalMs)
  loop.trigger('start')
  const watching = new AbortController()
  const watches = Object.values(drivers).map(driver =>
    followHints(driver, watching.signal, () => loop.trigger('hint')).catch((error: unknown) =>
      log.warn({ err: error, driver: driver.name }, 'changes are seen by looking alone'),
    ),
  )

  return {
    doing: activity.doing,
    async wake(generation, offer = null) {
      if (offer !== null && generation > (offered?.want.generation ?? 0)) offered = offer
      if (generation > (node.lastGood?.want.generation ?? 0)) batch.abort()
      const { promise, resolve } = Promise.withResolvers<void>()
      waiting.push(resolve)
      loop.trigger('wake')
      await promise
    },
    async stop() {
      clearInterval(timer)
      watching.abort()
      await Promise.all(watches)
      batch.abort()
      await loop.stop()
      await report()
      for (const answer of waiting.splice(0)) answer()
      for (const driver of Object.values(drivers)) await driver.close()
      lock.release()
    },
  }
}

/** Until the signal ends it. What comes while the node is looked at is one more look. */
async function followHints(
  driver: Pick<Drivers[DriverName] & object, 'watch'>,
  signal: AbortSignal,
  look: () => void,
): Promise<void> {
  for await (const _ of driver.watch?.(signal) ?? []) look()
}

/** One call to the file system, where the file is there: writing it takes three. */
async function touch(file: string): Promise<void> {
  const at = new Date()
  await utimes(file, at, at).catch(() => writeFile(file, ''))
}

const refuse = ({ code, message, hint, retryable }: BallastError, at: number) => ({
  at,
  failure: { driver: 'xdp' as const, key: 'want', code, message, hint, retryable },
})

/** The kernel's id of this boot (random(4)); another boot means an empty dataplane. */
export const readBootId = async (): Promise<string> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')).trim()
