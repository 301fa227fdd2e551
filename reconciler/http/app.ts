import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import type { ApiToken } from '../../schemas/api/tokens-file.ts'
import type { Log } from '../log/log.ts'
import type { HttpMetrics } from '../metrics/http-metrics.ts'
import { answerProblem, problemOfError } from './problem.ts'
import { createSourceReader, type Source } from './source.ts'

export interface AppEnvironment {
  Bindings: HttpBindings
  Variables: { source: Source; token: ApiToken }
}
export type App = Hono<AppEnvironment>
export type AppContext = Context<AppEnvironment>

export interface AppOptions {
  readonly log: Log
  readonly trustedProxies?: string | undefined
  readonly metrics: HttpMetrics
}

/** What all routes share: who asks, headers, counting, and answers for what goes wrong. */
export function createApp({ log, trustedProxies, metrics }: AppOptions): App {
  const readSource = createSourceReader(trustedProxies)
  const app: App = new Hono<AppEnvironment>()
  app.use(async (context, next) => {
    const start = performance.now()
    const { incoming } = context.env
    context.set(
      'source',
      readSource({
        peer: incoming.socket.remoteAddress,
        forwardedFor: context.req.header('x-forwarded-for'),
      }),
    )
    await next()
    const { status } = context.res
    metrics.count(context.req.method, status)
    // Neither headers nor the query: people put secrets there.
    log.debug(
      {
        method: context.req.method,
        path: context.req.path,
        status,
        from: context.get('source').address,
        ms: Math.round(performance.now() - start),
      },
      'answered',
    )
  })
  app.use(
    secureHeaders({
      // Pages bring their style, and nothing else.
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        styleSrc: ["'unsafe-inline'"],
        frameAncestors: ["'none'"],
      },
      // What terminates TLS says it, if anybody.
      strictTransportSecurity: false,
    }),
  )
  app.use(async (context, next) => {
    await next()
    if (!context.res.headers.has('cache-control')) context.header('cache-control', 'no-store')
  })
  app.notFound(context =>
    answerProblem(context, {
      status: 404,
      code: 'ROUTE_UNKNOWN',
      detail: 'Nothing is answered here. /api/v1/openapi.json says what is.',
    }),
  )
  app.onError((error, context) => {
    log.error({ err: error, method: context.req.method, path: context.req.path }, 'a request failed')
    return answerProblem(context, problemOfError(error))
  })
  return app
}
