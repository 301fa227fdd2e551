import { join } from 'node:path'
import { Command } from 'commander'
import { switchAnnouncements } from '../drivers/bgp/switch-announcements.ts'
import { readAttachedInterfaces } from '../drivers/xdp/attached-interfaces.ts'
import { createLog } from '../log/log.ts'
import { runWatchdog } from '../worker/watchdog.ts'
import { readBootId } from '../worker/worker.ts'
import { addSettings, readSettings } from './options.ts'
import { untilAskedToStop } from './until-asked-to-stop.ts'

const SETTINGS = [
  'node',
  'stateDir',
  'bpffs',
  'bgpDaemon',
  'birdSocket',
  'gobgpApi',
  'gobgpApiDir',
  'withdrawAfter',
  'logLevel',
  'logFormat',
] as const

const INTERVAL_MS = 100

export const watchdogCommand = (): Command =>
  addSettings(new Command('watchdog'), SETTINGS)
    .description(
      'Withdraw what this node announces while its program is not attached, also without a worker.',
    )
    .addHelpText(
      'after',
      '\nExit codes: 0 asked to stop (announcements stay as they are), 1 could not start.',
    )
    .action(async (_: unknown, command: Command) => {
      const settings = readSettings(command, SETTINGS, [
        'node',
        'bgpDaemon',
        'birdSocket',
        'gobgpApi',
        'gobgpApiDir',
      ])
      const { node, bpffs, withdrawAfter, bgpDaemon: daemon, birdSocket, gobgpApi, gobgpApiDir } = settings
      const log = createLog({
        level: settings.logLevel,
        format: settings.logFormat,
        destination: process.stderr,
      })
      const stateDir = join(settings.stateDir, 'nodes', node)
      const ending = new AbortController()
      const watching = runWatchdog({
        lastGoodFile: join(stateDir, 'last-good.json'),
        aliveFile: join(stateDir, 'alive'),
        withdrawAfter: 1000 * withdrawAfter,
        readAttached: () => readAttachedInterfaces(bpffs, node),
        announce: on => switchAnnouncements({ daemon, birdSocket, gobgpApi, gobgpApiDir }, on),
        bootId: await readBootId(),
        interval: INTERVAL_MS,
        log,
        now: Date.now,
        signal: ending.signal,
      })
      log.info({ node }, 'watchdog started')
      await untilAskedToStop()
      ending.abort()
      await watching
    })
