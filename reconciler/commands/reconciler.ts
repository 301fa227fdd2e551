import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { startController } from '../controller/controller.ts'
import { createLog, type Log } from '../log/log.ts'
import { acquireFileLock } from '../process/file-lock.ts'
import { createLoop } from '../process/loop.ts'
import { startEmbeddedRedis } from '../queue/embedded-redis.ts'
import { createWaker } from '../queue/wake.ts'
import { openRepository } from '../repo/repository.ts'
import { embeddedRedisDir, openBoard } from './open-board.ts'
import { addSettings, readSettings } from './options.ts'
import { untilAskedToStop } from './until-asked-to-stop.ts'

const SETTINGS = [
  'repo',
  'branch',
  'path',
  'stateDir',
  'redis',
  'redisPasswordFile',
  'logLevel',
  'logFormat',
] as const

/** How often a redis-server of our own is looked after, ms. */
const REDIS_LOOK_MS = 1000

export const reconcilerCommand = (): Command =>
  addSettings(new Command('reconciler'), SETTINGS)
    .description('Follow a branch and keep every node wanting the last valid revision of it.')
    .addHelpText('after', '\nExit codes: 0 asked to stop, 1 could not start.')
    .action(async (_options, command: Command) => {
      await runReconciler(readSettings(command, SETTINGS, ['repo']))
    })

async function runReconciler(settings: ReturnType<typeof readSettings<(typeof SETTINGS)[number], 'repo'>>) {
  const log = createLog({ level: settings.logLevel, format: settings.logFormat, destination: process.stderr })
  await mkdir(settings.stateDir, { recursive: true })
  const lock = acquireFileLock(join(settings.stateDir, 'reconciler.lock'), 'reconciler')
  const repository = await openRepository({ dir: settings.repo })
  const redis =
    settings.redis === undefined ? await keepRedis(embeddedRedisDir(settings.stateDir), log) : null
  const board = openBoard(settings, log)
  const waker = createWaker(board.connection)
  const controller = await startController({
    repository,
    branch: settings.branch,
    path: settings.path,
    board: { ...board, waker },
    log,
    now: Date.now,
  })
  board.connection.onReady(() => controller.refresh())
  log.info({ repo: repository.dir, branch: settings.branch }, 'reconciler started')

  await untilAskedToStop()
  log.info({}, 'stopping')
  await controller.stop()
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
