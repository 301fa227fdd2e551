import { streamSSE } from 'hono/streaming'
import type { HttpMetrics } from '../../metrics/http-metrics.ts'
import type { AppContext } from '../app.ts'
import { answerProblem } from '../problem.ts'
import type { EventLog } from './event-log.ts'

export interface EventStreamOptions {
  readonly events: EventLog
  readonly metrics: HttpMetrics
  /** Ends all streams. */
  readonly ending: AbortSignal
}

const STREAMS_AT_MOST = 100
/** Comments that keep proxies from closing a quiet stream, ms. */
const HEARTBEAT_MS = 15_000
/** What a client waits before it comes back, ms. */
const COME_BACK_MS = 2_000

/** `GET /events`: server-sent events (html.spec.whatwg.org, 9.2). A slow reader holds up nobody: it finds a `gap`. */
export function createEventStream({ events, metrics, ending }: EventStreamOptions) {
  let open = 0
  return (context: AppContext): Response => {
    if (open >= STREAMS_AT_MOST) {
      return answerProblem(context, {
        status: 503,
        code: 'TOO_MANY_STREAMS',
        detail: `At most ${STREAMS_AT_MOST} streams are open at the same time.`,
        headers: { 'retry-after': '10' },
      })
    }
    open++
    const closed = metrics.stream()
    const gone = new AbortController()
    const signal = AbortSignal.any([gone.signal, ending])
    const lastId = context.req.header('last-event-id') ?? null
    context.header('x-accel-buffering', 'no')
    return streamSSE(context, async stream => {
      stream.onAbort(() => gone.abort())
      try {
        await stream.write(`retry: ${COME_BACK_MS}\n: following\n\n`)
        for await (const next of events.follow(lastId, HEARTBEAT_MS, signal)) {
          if (next === null) await stream.write(': nothing new\n\n')
          else
            await stream.writeSSE({ id: next.id, event: next.event.type, data: JSON.stringify(next.event) })
        }
      } finally {
        open--
        closed()
      }
    })
  }
}
