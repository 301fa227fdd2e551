import type { ControlPlane, LogEvent } from './control-plane.ts'
import type { Lab } from './lab.ts'
import { failuresOf, type Response, responsesOf, startOf } from './measure-traffic.ts'
import type { PolicyRepository } from './policy-repository.ts'
import type { HeldConnection, Load } from './traffic.ts'
import { waitUntil } from './wait-until.ts'

/** What the steps of the demo pass on to each other; a part is there once its step has run. */
export interface DemoContext {
  readonly labName: string
  readonly signal: AbortSignal
  /** Tells people, in lines. */
  say(text: string): void
  readonly measured: Measured
  lab?: Lab
  policy?: PolicyRepository
  control?: ControlPlane
  load?: Load
  held?: HeldConnection
}

/** ms; null: not reached. */
export interface Measured {
  pushToApplied: number | null
  pushToTraffic: number | null
  pushToRefused: number | null
  pushToRoute: number | null
  deathToRoute: number | null
  workerBack: number | null
  driftUndone: number | null
}

/** The part of a context that an earlier step made. */
export function need<K extends 'lab' | 'policy' | 'control' | 'load' | 'held'>(
  context: DemoContext,
  part: K,
): NonNullable<DemoContext[K]> {
  const value = context[part]
  if (value === undefined) throw new Error(`the demo has no ${part} yet`)
  return value
}

const WAIT_MS = 30_000

/** Waits until a process says, or has said, what is accepted. */
export async function untilSaid(
  context: DemoContext,
  what: string,
  accept: (event: LogEvent) => boolean,
): Promise<LogEvent> {
  const { events } = need(context, 'control')
  const { signal } = context
  return await waitUntil({ what, deadline: WAIT_MS, signal }, () => events.find(accept) ?? null)
}

/** Waits until every node has reported a revision as applied; gives when the last did, ms since the epoch. */
export async function untilApplied(context: DemoContext, revision: string): Promise<number> {
  const last = await untilSaid(
    context,
    `every node to apply ${revision.slice(0, 12)}`,
    event => event.msg === 'every node reported' && event.revision === revision,
  )
  const status = await need(context, 'control').status()
  if (status.repository?.accepted !== revision || !status.inSync) {
    throw new Error(`not as Git wants it: ${JSON.stringify(status.nodes)}`)
  }
  return last.time
}

/** Waits for this many requests that began after `since`, and fails if one of them failed. */
export async function untilServed(context: DemoContext, since: number, count: number): Promise<Response[]> {
  const { events } = need(context, 'load')
  const later = await waitUntil(
    { what: `${count} requests to end`, deadline: WAIT_MS, signal: context.signal },
    () => {
      const ended = events.filter(event => startOf(event) >= since)
      return ended.length >= count ? ended : null
    },
  )
  const [failure] = failuresOf(later)
  if (failure !== undefined) throw new Error(`a request to ${failure.target} failed: ${failure.reason}`)
  return responsesOf(later)
}

/** Fails when the long-lived connection is gone. */
export function expectHeld(context: DemoContext): void {
  const { alive, events } = need(context, 'held')
  if (!alive()) throw new Error(`the long-lived connection was lost: ${JSON.stringify(events.at(-1))}`)
}
