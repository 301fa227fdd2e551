import { NODE_COUNTERS_VERSION, type NodeCounters } from '../../schemas/node-counters.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { startServer } from '../http/server.ts'
import { createWorkerApp } from '../http/worker-server.ts'
import type { Log } from '../log/log.ts'
import { createLoop } from '../process/loop.ts'
import { createCounters } from '../queue/counters.ts'
import type { OpenBoard } from './open-board.ts'
import { VERSION } from './version.ts'

/** What a dataplane counts. */
type Counted = Pick<NodeCounters, 'services' | 'liveFlows'>

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

/** Of a node with a hundred thousand backends, counters are counted less often than asked for: 1% of a CPU goes into it. */
const PAUSE_FOR_COST = 100
/** What is published is forgotten after 60 s. */
const LONGEST_PAUSE_MS = 30_000

/** Publishes what the dataplane counts, and answers health and metrics when `listen` is set. Throws `LISTEN_FAILED`. */
export async function serveWorker(options: ServeWorkerOptions): Promise<{ stop(): Promise<void> }> {
  const { node, listen, board, log, readCounters } = options
  const published = createCounters(board.connection)
  let counters: NodeCounters | null = null
  let notBefore = 0
  const loop = createLoop(
    async () => {
      const before = process.cpuUsage()
      if (readCounters === null || Date.now() < notBefore) return
      const counted = {
        version: NODE_COUNTERS_VERSION,
        node,
        at: Date.now(),
        ...(await readCounters()),
      } as const
      counters = counted
      await published.publish(counted)
      const { user, system } = process.cpuUsage(before)
      const pause = Math.min(LONGEST_PAUSE_MS, ((user + system) / 1_000) * PAUSE_FOR_COST)
      notBefore = counted.at + pause
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
