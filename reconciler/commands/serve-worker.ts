import { type BackendCounters, NODE_COUNTERS_VERSION, NodeCounters } from '../../schemas/node-counters.ts'
import type { RowKey } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { startServer } from '../http/server.ts'
import { createWorkerApp } from '../http/worker-server.ts'
import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import { createCounters } from '../queue/counters.ts'
import type { OpenBoard } from './open-board.ts'
import { VERSION } from './version.ts'

/** What a dataplane counts (schemas/node-counters.ts). */
interface Counted {
  readonly services: Readonly<Record<RowKey, readonly BackendCounters[]>>
  readonly liveFlows: number
}

export interface ServeWorkerOptions {
  readonly node: string
  readonly listen: string | undefined
  /** ms; 0: nothing is counted. */
  readonly counterInterval: number
  readonly board: OpenBoard
  /** What it said last of itself. */
  readonly report: () => NodeReport | null
  /** Null: the driver counts nothing. */
  readonly readCounters: (() => Promise<Counted>) | null
  readonly log: Log
}

/** Publishes what the dataplane counts, and answers health and metrics when `listen` is set. Throws `LISTEN_FAILED`. */
export async function serveWorker(options: ServeWorkerOptions): Promise<{ stop(): Promise<void> }> {
  const { node, listen, board, log, readCounters } = options
  const published = createCounters(board.connection)
  let counters: NodeCounters | null = null
  const loop = createLoop(
    async () => {
      if (readCounters === null) return
      const counted = await readCounters()
      counters = NodeCounters.parse({ version: NODE_COUNTERS_VERSION, node, at: Date.now(), ...counted })
      await published.publish(counters)
    },
    error => log.debug({ err: error }, 'counters not read or not published; trying again'),
  )
  const counts = readCounters !== null && options.counterInterval > 0
  const timer = counts ? setInterval(() => loop.trigger('count'), options.counterInterval) : null
  const stopCounting = async (): Promise<void> => {
    if (timer !== null) clearInterval(timer)
    await loop.stop()
  }
  if (listen === undefined) return { stop: stopCounting }

  const app = createWorkerApp({
    version: VERSION,
    report: options.report,
    counters: () => counters,
    pingRedis: async () => {
      await board.connection.call(redis => redis.ping())
    },
    log,
    now: Date.now,
  })
  const server = await startServer(app, listen)
  log.info({ address: server.address }, 'answering HTTP')
  return {
    async stop() {
      await stopCounting()
      await server.stop()
    },
  }
}
