import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import type { DriverName } from '../../schemas/node-state.ts'
import type { NodeReport } from '../../schemas/report.ts'
import { createBgpDriver } from '../drivers/bgp/create-bgp-driver.ts'
import type { AddressWriters } from '../drivers/ipvs/address-writers.ts'
import { createSimulatedDriver } from '../drivers/simulated/driver.ts'
import { findWriter as findMapWriter } from '../drivers/xdp/find-writer.ts'
import { allHealthy } from '../effective/effective-tables.ts'
import { createLog, type Log } from '../log/log.ts'
import { startHeartbeat } from '../queue/heartbeats.ts'
import { createPauses } from '../queue/pauses.ts'
import { listenForCalls, listenForWakes } from '../queue/wake.ts'
import type { Drivers } from '../worker/converge.ts'
import { startWorker, type WorkerOptions } from '../worker/worker.ts'
import { openBoard, REDIS_SETTINGS } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { type ServeWorkerOptions, serveWorker } from './serve-worker.ts'
import { untilAskedToStop } from './until-asked-to-stop.ts'
import { VERSION } from './version.ts'

const SETTINGS = [
  'node',
  'stateDir',
  'runtimeDir',
  ...REDIS_SETTINGS,
  'driver',
  'bpffs',
  'bpfObject',
  'fleetKeyFile',
  'bgpDaemon',
  'birdSocket',
  'gobgpApi',
  'gobgpApiDir',
  'bgpSecretsDir',
  'scanInterval',
  'reportInterval',
  'counterInterval',
  'listen',
  'logLevel',
  'logFormat',
] as const

export const workerCommand = (): Command =>
  addSettings(new Command('worker'), SETTINGS)
    .description('Keep this node as Git wants it: apply, read back, report, watch for drift.')
    .option('--json', 'log JSON lines: short for --log-format json')
    .addHelpText('after', '\nExit codes: 0 asked to stop (the dataplane stays), 1 could not start.')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const settings = readSettings(command, SETTINGS, ['node'])
      await runWorker(json === true ? { ...settings, logFormat: 'json' } : settings)
    })

type WorkerSettings = ReturnType<typeof readSettings<(typeof SETTINGS)[number], 'node'>>

async function runWorker(settings: WorkerSettings): Promise<void> {
  const { node } = settings
  const log = createLog({ level: settings.logLevel, format: settings.logFormat, destination: process.stderr })
  const stateDir = join(settings.stateDir, 'nodes', node)
  await mkdir(stateDir, { recursive: true })
  const board = openBoard(settings, log)
  const { drivers, readCounters, countTraffic, followNextHops, findWriter } = await openDrivers(
    settings,
    stateDir,
    log,
  )
  let lastReport: NodeReport | null = null
  const worker = await startWorker({
    node,
    stateDir,
    version: VERSION,
    drivers,
    controlPlane: {
      readWant: name => board.wants.read(name),
      changeState: (have, change, digest) => board.states.change(have, change, digest),
      readPause: createPauses(board.connection).read,
      readState: (digest, have) => board.states.get(digest, have),
      publishReport: report => {
        lastReport = report
        return board.reports.publish(report)
      },
    },
    health: allHealthy,
    findWriter,
    countTraffic,
    scanIntervalMs: settings.scanInterval,
    reportIntervalMs: settings.reportInterval,
    log,
    now: Date.now,
  })
  const heartbeat = startHeartbeat({ connection: board.connection, node, doing: worker.doing })
  const calls = listenForCalls({ connection: board.connection, node, onWake: worker.wake })
  const wakes = await listenForWakes({ connection: board.connection, node, onWake: worker.wake })
  const { listen, counterInterval } = settings
  const report = () => lastReport
  const served = await serveWorker({ node, listen, counterInterval, board, report, readCounters, log })
  const nextHops = followNextHops(error =>
    log.warn({ err: error }, 'link addresses of backends not looked up; trying again'),
  )
  log.info({ node, driver: settings.driver }, 'worker started')

  await untilAskedToStop()
  log.info({}, 'stopping; the dataplane stays as it is')
  await nextHops.stop()
  await served.stop()
  await heartbeat.stop()
  calls.close()
  await wakes.close()
  await worker.stop()
  board.close()
}

interface OpenDrivers {
  readonly drivers: Drivers
  /** Null: nothing is counted. */
  readonly readCounters: ServeWorkerOptions['readCounters']
  readonly countTraffic: WorkerOptions['countTraffic']
  readonly findWriter: WorkerOptions['findWriter']
  readonly followNextHops: (onError: (error: unknown) => void) => { stop(): Promise<void> }
}

async function openDrivers(settings: WorkerSettings, stateDir: string, log: Log): Promise<OpenDrivers> {
  if (settings.driver === 'simulated') {
    const simulate = <D extends DriverName>(name: D) =>
      createSimulatedDriver({ name, file: join(stateDir, `simulated-${name}.json`) })
    const drivers = { xdp: simulate('xdp'), ipvs: simulate('ipvs'), bgp: simulate('bgp') }
    const followNextHops = () => ({ stop: async () => {} })
    const findWriter = async () => null
    return { drivers, readCounters: null, countTraffic: async () => null, followNextHops, findWriter }
  }
  // Only now: a laptop has no libbpf.
  const { createXdpDriver } = await import('../drivers/xdp/driver.ts')
  const { createIpvsDriver } = await import('../drivers/ipvs/driver.ts')
  const { node, runtimeDir, bpffs, bpfObject: objectFile, fleetKeyFile } = settings
  const xdp = createXdpDriver({
    node,
    bpffs,
    objectFile,
    ...(fleetKeyFile === undefined ? {} : { fleetKeyFile }),
  })
  const writers = await openWriters(log)
  const onAddressChange = () => writers?.look()
  const ipvs = createIpvsDriver({ file: join(runtimeDir, node, 'ipvs.json'), onAddressChange })
  const { readCounters, countTraffic, followNextHops } = xdp
  const { bgpDaemon: daemon, birdSocket, gobgpApi, gobgpApiDir, bgpSecretsDir: secretsDir } = settings
  const birdFile = join(runtimeDir, node, 'bird.conf')
  const bgp = await createBgpDriver({ daemon, birdSocket, birdFile, gobgpApi, gobgpApiDir, secretsDir })
  const findWriter: WorkerOptions['findWriter'] = async item =>
    item.driver === 'xdp' ? findMapWriter(settings, item) : ((await writers?.find(item)) ?? null)
  return { drivers: { xdp, ipvs, bgp }, readCounters, countTraffic, followNextHops, findWriter }
}

/** Null: nobody can be named. */
async function openWriters(log: Log): Promise<AddressWriters | null> {
  const { openAddressWriters } = await import('../drivers/ipvs/address-writers.ts')
  try {
    return openAddressWriters()
  } catch (error) {
    log.warn({ err: error }, 'who changes addresses against Ballast cannot be named')
    return null
  }
}
