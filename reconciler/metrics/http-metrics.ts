import { Counter, Gauge } from 'prom-client'
import type { Forge, WebhookAnswer } from '../../schemas/api/webhook.ts'
import type { Metrics } from './registry.ts'

export interface HttpMetrics {
  count(method: string, status: number): void
  webhook(forge: Forge, result: WebhookAnswer['result'] | 'refused'): void
  /** One more stream of events is open; gives the function that says it is not. */
  stream(): () => void
}

/** What is asked may be anything; these are the methods that are counted by name. */
const METHODS = ['GET', 'HEAD', 'POST']

export function createHttpMetrics({ registry }: Metrics): HttpMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'ballast_http_requests_total',
    help: 'HTTP requests that were answered.',
    labelNames: ['method', 'status'],
    registers,
  })
  const webhooks = new Counter({
    name: 'ballast_webhooks_total',
    help: 'Webhooks by forge and by what came of them.',
    labelNames: ['forge', 'result'],
    registers,
  })
  const streams = new Gauge({
    name: 'ballast_event_streams',
    help: 'Streams of events that are open.',
    registers,
  })
  return {
    count: (method, status) => requests.inc({ method: METHODS.includes(method) ? method : 'other', status }),
    webhook: (forge, result) => webhooks.inc({ forge, result }),
    stream() {
      streams.inc()
      return () => streams.dec()
    },
  }
}
