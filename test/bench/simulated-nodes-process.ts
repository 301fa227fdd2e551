import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openBoard } from '../../reconciler/commands/open-board.ts'
import { createSimulatedDriver } from '../../reconciler/drivers/simulated/driver.ts'
import { allHealthy } from '../../reconciler/effective/effective-tables.ts'
import { createLog } from '../../reconciler/log/log.ts'
import { listenForCalls, listenForWakes } from '../../reconciler/queue/wake.ts'
import { startWorker } from '../../reconciler/worker/worker.ts'

/**
 * `node simulated-nodes-process.ts STATE-DIR NODE...`: the workers of many nodes in one process, each with its own
 * connections, state on disk and wake-ups, as if it were alone; only what was read from Redis is shared.
 */
const [stateDir = '', ...nodes] = process.argv.slice(2)
const log = createLog({ level: 'error', format: 'text', destination: process.stderr })
const board = openBoard({ stateDir, redis: undefined, redisPasswordFile: undefined }, log)

await Promise.all(
  nodes.map(async node => {
    const own = join(stateDir, 'nodes', node)
    await mkdir(own, { recursive: true })
    const worker = await startWorker({
      node,
      stateDir: own,
      version: 'bench',
      drivers: { xdp: createSimulatedDriver({ name: 'xdp' }) },
      controlPlane: {
        readPause: async () => null,
        readWant: name => board.wants.read(name),
        changeState: (have, change, digest) => board.states.change(have, change, digest),
        readState: (digest, have) => board.states.get(digest, have),
        publishReport: report => board.reports.publish(report),
      },
      health: allHealthy,
      findWriter: async () => null,
      countTraffic: async () => null,
      scanIntervalMs: 2_000,
      reportIntervalMs: 10_000,
      log,
      now: Date.now,
    })
    listenForCalls({ connection: board.connection, node, onWake: worker.wake })
    await listenForWakes({ connection: board.connection, node, onWake: worker.wake })
  }),
)
process.stdout.write('started\n')
process.on('SIGTERM', () => process.exit())
