import type { Notification, ReceiverMemory } from '../../schemas/alert.ts'
import { asBallastError } from '../../schemas/ballast-error.ts'
import { AlertRule, type AlertSettings } from '../../schemas/drift-settings.ts'
import type { Sender } from '../alerts/sender.ts'
import {
  emptyMemory,
  firingOf,
  nextNotification,
  rememberDrift,
  rememberSent,
} from '../drift/alert-memory.ts'
import type { Log } from '../log/log.ts'
import { createLoop, type Loop } from '../process/loop.ts'
import type { DriftView } from './drift-log.ts'

export interface DriftAlertsOptions {
  readonly settings: AlertSettings
  readonly senders: ReadonlyMap<string, Sender>
  /** Outlives the process; what is in it is told once. */
  readonly memories: {
    read(receiver: string): Promise<ReceiverMemory | null>
    write(receiver: string, memory: ReceiverMemory): Promise<void>
  }
  readonly readDrift: () => DriftView
  readonly labelsOf: (node: string) => Readonly<Record<string, string>>
  /** Of the lease; null while another reconciler leads. */
  readonly epoch: () => number | null
  readonly log: Log
  readonly now: () => number
}

/** How it goes with one receiver. */
export interface ReceiverState {
  readonly sent: number
  readonly waiting: number
  readonly problem: string | null
}

/** Tells the receivers of drift while this process leads: each on its own, so that one that is away keeps no other waiting. */
export interface DriftAlerts {
  /** Something was reported, or this process leads from now on. */
  look(): void
  state(): ReadonlyMap<string, ReceiverState>
  stop(): Promise<void>
}

/** What comes together is told together, ms. */
const GATHER_MS = 500
const REMIND_MS = 60_000
const RETRY_FIRST_MS = 2_000
const RETRY_LAST_MS = 60_000

export function startDriftAlerts(options: DriftAlertsOptions): DriftAlerts {
  const loops = options.settings.receivers.map(({ name }) => ({ name, ...startReceiver(name, options) }))
  return {
    look() {
      for (const { look } of loops) look()
    },
    state: () => new Map(loops.map(({ name, state }) => [name, state()])),
    async stop() {
      await Promise.all(loops.map(({ stop }) => stop()))
    },
  }
}

/** Without rules all drift is told. */
function rulesOf(name: string, { rules }: AlertSettings): readonly AlertRule[] {
  if (rules.length === 0) return [AlertRule.parse({})]
  return rules.filter(({ receivers }) => receivers === undefined || receivers.includes(name))
}

function startReceiver(name: string, options: DriftAlertsOptions) {
  const { memories, readDrift, log, now } = options
  const sender = options.senders.get(name)!
  const rules = rulesOf(name, options.settings)
  /** Null: to be read. */
  let memory: ReceiverMemory | null = null
  let lastEpoch: number | null = null
  let state: ReceiverState = { sent: 0, waiting: 0, problem: null }
  let retry = { at: 0, delay: RETRY_FIRST_MS }
  let remindAt = 0
  let timer: NodeJS.Timeout | null = null
  let wakeTime = Number.POSITIVE_INFINITY

  async function keep(next: ReceiverMemory): Promise<ReceiverMemory> {
    if (JSON.stringify(next) !== JSON.stringify(memory)) await memories.write(name, next)
    memory = next
    state = { ...state, waiting: Object.keys(next.waiting).length }
    return next
  }

  async function attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      if (state.problem !== null) log.info({ receiver: name }, 'alerts are taken again')
      state = { ...state, problem: null }
      retry = { at: 0, delay: RETRY_FIRST_MS }
      return true
    } catch (error) {
      const { code, message, hint } = asBallastError(error)
      if (state.problem !== message) log.warn({ receiver: name, code }, `an alert waits: ${message}. ${hint}`)
      state = { ...state, problem: message }
      retry = { at: now() + retry.delay, delay: Math.min(2 * retry.delay, RETRY_LAST_MS) }
      return false
    }
  }

  async function send(known: ReceiverMemory, notification: Notification): Promise<ReceiverMemory> {
    if (!(await attempt(() => sender.send(notification)))) return known
    state = { ...state, sent: state.sent + notification.alerts.length }
    log.info({ receiver: name, alerts: notification.alerts.length }, notification.alerts[0]!.summary)
    return keep(rememberSent(known, notification))
  }

  async function remind(known: ReceiverMemory): Promise<void> {
    const firing = firingOf(known)
    if (sender.remind === undefined || firing.length === 0 || now() < remindAt) return
    remindAt = now() + REMIND_MS
    await attempt(async () => sender.remind?.(firing))
  }

  const loop: Loop = createLoop(
    async () => {
      const epoch = options.epoch()
      if (epoch !== lastEpoch) memory = null
      lastEpoch = epoch
      if (epoch === null) return
      const known = memory ?? (await memories.read(name)) ?? emptyMemory()
      const seen = { ...readDrift(), rules, labelsOf: options.labelsOf, now: now() }
      let current = await keep(rememberDrift(known, seen))
      const { notification, dueAt } = nextNotification(current, name, now())
      if (notification !== null && now() >= retry.at) current = await send(current, notification)
      if (now() >= retry.at) await remind(current)
      const times = [
        dueAt,
        notification === null ? null : Math.max(retry.at, now() + GATHER_MS),
        nextRuleAt(seen),
        remindAt,
      ]
      wakeAt(Math.min(...times.filter(time => time !== null && time > now()).map(Number)))
    },
    error => {
      log.debug({ err: error, receiver: name }, 'alerts wait; trying again')
      memory = null
      wakeAt(now() + RETRY_FIRST_MS)
    },
  )

  /** When drift that is there will have lasted as long as a rule says. */
  function nextRuleAt({ records }: DriftView): number | null {
    const times = records
      .filter(({ healedAt }) => healedAt === null)
      .flatMap(({ since }) => rules.map(({ after }) => since + after))
      .filter(time => time > now())
    return times.length === 0 ? null : Math.min(...times)
  }

  function wakeAt(time: number): void {
    if (!Number.isFinite(time) || (timer !== null && time >= wakeTime && wakeTime > now())) return
    if (timer !== null) clearTimeout(timer)
    wakeTime = time
    timer = setTimeout(
      () => {
        timer = null
        loop.trigger('due')
      },
      Math.max(0, time - now()),
    )
  }

  return {
    look: () => wakeAt(now() + GATHER_MS),
    state: () => state,
    async stop() {
      await loop.stop()
      if (timer !== null) clearTimeout(timer)
    },
  }
}
