import type { ApiEvent } from '../../../schemas/api/event.ts'

export interface NumberedEvent {
  /** `<process>-<number>`, as Last-Event-ID brings it back. */
  readonly id: string
  readonly event: ApiEvent
}

/** What happened lately, in bounded memory. */
export interface EventLog {
  publish(event: ApiEvent): void
  /** From what came after `lastId` (null: from now on) until aborted. What it has no more is a `gap`. Null: nothing came for `quietMs`. */
  follow(lastId: string | null, quietMs: number, signal: AbortSignal): AsyncGenerator<NumberedEvent | null>
}

const KEPT = 1_000

/** `run` tells this process from those before it. */
export function createEventLog(run: string, kept = KEPT): EventLog {
  const events: ApiEvent[] = []
  /** Number of the first event that is kept. */
  let first = 1
  let news = Promise.withResolvers<void>()

  const next = (): number => first + events.length
  const idOf = (number: number): string => `${run}-${number}`

  function placeAfter(lastId: string): number | null {
    const [of, number] = [lastId.slice(0, lastId.lastIndexOf('-')), Number(/-(\d{1,15})$/.exec(lastId)?.[1])]
    return of === run && number < next() && number + 1 >= first ? number + 1 : null
  }

  async function* follow(lastId: string | null, quietMs: number, signal: AbortSignal) {
    const place = lastId === null ? next() : placeAfter(lastId)
    let at = place ?? next()
    if (place === null) yield gap(at)
    while (!signal.aborted) {
      if (at < first) {
        at = first
        yield gap(at)
      }
      const event = events[at - first]
      if (event !== undefined) yield { id: idOf(at++), event }
      else if (!(await wait(news.promise, quietMs, signal)) && !signal.aborted) yield null
    }
  }

  const gap = (before: number): NumberedEvent => ({ id: idOf(before - 1), event: { type: 'gap' } })

  return {
    publish(event) {
      events.push(event)
      if (events.length > kept) {
        events.shift()
        first++
      }
      news.resolve()
      news = Promise.withResolvers()
    },
    follow,
  }
}

/** False: it did not come in time, or was aborted. */
async function wait(news: Promise<void>, ms: number, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const giveUp = (): void => resolve(false)
  const timer = setTimeout(giveUp, ms)
  signal.addEventListener('abort', giveUp, { once: true })
  void news.then(() => resolve(true))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
  }
}
