import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { type Controller, startController } from '../controller/controller.ts'
import { createDriftCollector } from '../controller/fleet-drift.ts'
import { createFleetDriftMemory } from '../controller/fleet-drift-memory.ts'
import { createPoke } from '../controller/poke.ts'
import { sampleTraffic } from '../controller/sample-traffic.ts'
import { watchPresence } from '../controller/watch-presence.ts'
import { createLog, type Log } from '../log/log.ts'
import { acquireFileLock } from '../process/file-lock.ts'
import { createLoop } from '../process/loop.ts'
import { createAlertMemories } from '../queue/alert-memories.ts'
import { startEmbeddedRedis } from '../queue/embedded-redis.ts'
import { createFence, holdLease } from '../queue/lease.ts'
import { createPokes } from '../queue/pokes.ts'
import { readSigns } from '../queue/presence.ts'
import { createTrafficHistory } from '../queue/traffic-history.ts'
import { createWaker } from '../queue/wake.ts'
import { createReverter } from '../repo/push-revert.ts'
import { openWritableRemote } from '../repo/source.ts'
import { openForgePages } from './forge-pages.ts'
import { embeddedRedisDir, openBoardOn, openConnection, REDIS_SETTINGS } from './open-board.ts'
import { openDriftAlerts } from './open-drift-alerts.ts'
import { authorOf, DRIFT_SETTINGS, openDriftLog } from './open-drift-log.ts'
import { FORGE_SETTINGS } from './open-forge.ts'
import { accessTo, openConfiguredSource, SOURCE_SETTINGS } from './open-source.ts'
import { addSettings, readSettings } from './options.ts'
import { serveForge } from './serve-forge.ts'
import { HTTP_SETTINGS, serveReconciler } from './serve-reconciler.ts'
import { untilAskedToStop } from './until-asked-to-stop.ts'

const SETTINGS = [
  ...SOURCE_SETTINGS,
  'path',
  'verify',
  ...DRIFT_SETTINGS,
  'alerts',
  ...FORGE_SETTINGS,
  ...REDIS_SETTINGS,
  ...HTTP_SETTINGS,
  'logLevel',
  'logFormat',
] as const

/** How often a redis-server of our own is looked after, ms. */
const REDIS_LOOK_MS = 1000

export const reconcilerCommand = (): Command =>
  addSettings(new Command('reconciler'), SETTINGS)
    .description('Follow a branch and keep every node wanting the last valid revision of it.')
    .option('--json', 'log JSON lines: short for --log-format json')
    .addHelpText('after', '\nExit codes: 0 asked to stop, 1 could not start.')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const settings = readSettings(command, SETTINGS, ['repo'])
      await runReconciler(json === true ? { ...settings, logFormat: 'json' } : settings)
    })

async function runReconciler(settings: ReturnType<typeof readSettings<(typeof SETTINGS)[number], 'repo'>>) {
  const log = createLog({ level: settings.logLevel, format: settings.logFormat, destination: process.stderr })
  await mkdir(settings.stateDir, { recursive: true })
  const lock = acquireFileLock(join(settings.stateDir, 'reconciler.lock'), 'reconciler')
  const source = await openConfiguredSource(settings, log)
  const redis =
    settings.redis === undefined ? await keepRedis(embeddedRedisDir(settings.stateDir), log) : null
  const connection = openConnection(settings, log)
  const lease = holdLease({ connection, holder: `${hostname()}:${process.pid}:${Date.now()}`, now: Date.now })
  const board = openBoardOn(connection, createFence(lease))
  const waker = createWaker(board.connection)
  let controller: Controller | null = null
  const pokes = createPokes(connection, () => controller?.poke())
  const tell = createPoke(pokes.tell)
  const look = () => {
    controller?.poke()
    // What leads is another process, which no webhook reached.
    if (lease.epoch() === null) tell()
  }
  const pages = openForgePages(settings.stateDir, settings.publicUrl)
  const forge = serveForge({ settings, source, board, pages, leads: () => lease.epoch() !== null, log })
  const review = forge?.review ?? null
  const http = await serveReconciler({ settings, source, board, look, review, readPage: pages.read, log })
  const drift = createDriftCollector(() => controller?.fleet() ?? null, Date.now)
  const driftLog = await openDriftLog({
    settings,
    followed: await source.branch(),
    readDrift: drift.read,
    epoch: lease.epoch,
    log,
    now: Date.now,
  })
  const alerts = openDriftAlerts({
    settings: settings.alerts,
    memories: createAlertMemories(connection, createFence(lease)),
    readDrift: drift.read,
    labelsOf: node => controller?.fleet()?.nodes.get(node)?.labels ?? {},
    epoch: lease.epoch,
    log,
    now: Date.now,
  })
  // One that stands by does not look at the fleet.
  const readFleetDrift = () =>
    board.fleetDrift.read().then(
      read => read.drift?.records ?? [],
      () => drift.ofFleet(),
    )
  http.watchDrift(async () => ({
    records: [...drift.ofNodes(), ...(await readFleetDrift())],
    log: driftLog?.state() ?? null,
    alerts: alerts?.state() ?? new Map(),
  }))
  controller = await startController({
    source,
    path: settings.path,
    stateDir: settings.stateDir,
    verify: settings.verify,
    board: { ...board, waker },
    leads: async () => (await lease.confirm()) !== null,
    revert: {
      push: createReverter({
        dir: join(settings.stateDir, 'revert'),
        openRemote: place => openWritableRemote(accessTo(settings), place),
        path: settings.path,
        author: authorOf(settings),
        signingKey: settings.driftSigningKey,
      }),
      openPull: forge?.openPull ?? null,
    },
    log,
    now: Date.now,
    observe: event => {
      http.observe(event)
      forge?.observe(event)
      if (event.type !== 'reported') return
      if (drift.reported(event.report)) presence.reported()
      driftLog?.look()
      alerts?.look()
    },
  })
  const traffic = sampleTraffic({
    readCounters: async () => board.counters.readAll([...(await board.wants.readAll()).keys()]),
    history: createTrafficHistory(connection),
    leads: () => lease.epoch() !== null,
    log,
    now: Date.now,
  })
  const tellDrift = () => {
    driftLog?.look()
    alerts?.look()
  }
  const presence = watchPresence({
    readSigns: nodes => readSigns(connection, nodes),
    nodes: () => [...(controller?.fleet()?.nodes.keys() ?? [])],
    drift,
    memory: createFleetDriftMemory({ board, now: Date.now }),
    epoch: lease.epoch,
    onChange: tellDrift,
    log,
  })
  // Workers come back one after the other.
  board.connection.onReady(() => drift.signs(null))
  board.connection.onReady(controller.refresh)
  lease.onChange(leads => {
    if (leads) controller?.lead()
    tellDrift()
  })
  log.info({ repo: source.address, branch: await source.branch() }, 'reconciler started')

  await untilAskedToStop()
  log.info({}, 'stopping')
  await http.stop()
  tell.stop()
  pokes.close()
  await traffic.stop()
  await presence.stop()
  await controller.stop()
  await forge?.stop()
  await driftLog?.stop()
  await alerts?.stop()
  await lease.release()
  await source.close()
  await waker.close()
  board.close()
  await redis?.stop()
  lock.release()
}

/** Runs a redis-server of our own, and starts it again when it is gone. */
async function keepRedis(dir: string, log: Log): Promise<{ stop(): Promise<void> }> {
  let server = await startEmbeddedRedis({ dir })
  const loop = createLoop(
    async () => {
      const found = await startEmbeddedRedis({ dir })
      if (found.pid !== server.pid) server = found
    },
    error => log.error({ err: error }, 'our redis-server does not start; trying again'),
  )
  const timer = setInterval(() => loop.trigger('look'), REDIS_LOOK_MS)
  return {
    async stop() {
      clearInterval(timer)
      await loop.stop()
      await server.stop()
    },
  }
}
