import { access, constants, mkdir, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { BallastError } from '../../schemas/ballast-error.ts'
import { acquireFileLock, type FileLock } from '../process/file-lock.ts'
import { type Program, startProgram } from '../process/run-command.ts'
import { askForInfo } from './client.ts'

/** A redis-server of our own, on a unix socket, for when no address is configured. */
export interface EmbeddedRedis {
  readonly socket: string
  readonly pid: number
  /** Ends it when this call started it; one that was found running is left alone. What it holds stays on disk. */
  stop(): Promise<void>
}

export interface EmbeddedRedisOptions {
  /** Where its socket, its append-only file and its log lie; made when missing. */
  readonly dir: string
}

/** Longest path of a unix socket, bytes (sun_path of unix(7), less some room for redis-server's own). */
const MAX_SOCKET_PATH = 100
/** An append-only file of a big fleet takes a while to read. */
const START_DEADLINE_MS = 30_000
/** redis-server writes what it holds to disk before it ends. */
const STOP_GRACE_MS = 10_000
const RETRY_MS = 20

/**
 * Finds the server of this folder, or starts it; safe to call from several processes at a time. It ends with
 * `stop`, and when this process ends in an orderly way. Throws `REDIS_NOT_INSTALLED`, `REDIS_NOT_STARTED`,
 * `SOCKET_PATH_TOO_LONG`.
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const { dir, socket } = await prepare(options)
  const until = Date.now() + START_DEADLINE_MS
  while (Date.now() < until) {
    const server = await findServer(socket)
    if (typeof server === 'number') return { socket, pid: server, stop: async () => {} }
    const lock = server === 'absent' ? tryLock(dir) : null
    if (lock === null) {
      await delay(RETRY_MS)
      continue
    }
    try {
      // Another process may have started it, and let go of the lock, since it was looked for.
      if ((await findServer(socket)) === 'absent') return await start(dir, socket, until)
    } finally {
      lock.release()
    }
  }
  throw notStarted(`what listens on ${socket}, or is starting there, gives no answer`)
}

/**
 * This process becomes the server of the folder (execve(2)): it gets its signals itself, and its exit code is
 * the server's. Comes back only by throwing: `REDIS_ALREADY_RUNNING`, and as `startEmbeddedRedis`.
 */
export async function runEmbeddedRedis(options: EmbeddedRedisOptions): Promise<never> {
  const { dir, socket } = await prepare(options)
  const server = await findServer(socket)
  if (server !== 'absent') {
    throw new BallastError({
      code: 'REDIS_ALREADY_RUNNING',
      message: `a server already listens on ${socket}${server === 'busy' ? '' : ` (process ${server})`}`,
      hint: 'Use that one, or end it first.',
    })
  }
  const program = await findProgram()
  process.execve?.(program, [program, ...serverArguments(dir, socket)], process.env)
  throw notStarted('this Node cannot give its place to another program (process.execve)')
}

async function start(dir: string, socket: string, until: number): Promise<EmbeddedRedis> {
  const logFile = join(dir, 'redis.log')
  const args = [...serverArguments(dir, socket), '--logfile', logFile]
  // Detached: Ctrl-C is for this process, which ends the server in its turn.
  const server = await startProgram(await findProgram(), args, { detached: true })
  let ended = false
  void server.exited.then(() => {
    ended = true
  })
  while ((await findServer(socket)) !== server.pid) {
    if (ended) throw notStarted(`redis-server ended at once; see ${logFile}`)
    if (Date.now() > until) {
      await server.stop()
      throw notStarted(`redis-server does not answer on ${socket}; see ${logFile}`)
    }
    await delay(RETRY_MS)
  }
  return { socket, pid: server.pid, stop: endWithThisProcess(server) }
}

function endWithThisProcess(server: Program): () => Promise<void> {
  server.unref()
  const end = (): void => void server.stop()
  process.once('exit', end)
  void server.exited.then(() => process.removeListener('exit', end))
  return async () => {
    await server.stop(STOP_GRACE_MS)
  }
}

async function prepare(options: EmbeddedRedisOptions): Promise<{ dir: string; socket: string }> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 })
  const dir = await realpath(options.dir)
  const socket = join(dir, 'redis.sock')
  if (Buffer.byteLength(socket) <= MAX_SOCKET_PATH) return { dir, socket }
  throw new BallastError({
    code: 'SOCKET_PATH_TOO_LONG',
    message: `${socket} is too long for the path of a unix socket (${MAX_SOCKET_PATH} bytes)`,
    hint: 'Choose a state directory with a shorter path.',
  })
}

const serverArguments = (dir: string, socket: string): string[] => [
  ...['--dir', dir, '--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--daemonize', 'no'],
  ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'],
]

/** The process that serves on the socket; `busy` when it does not answer (yet). */
async function findServer(socket: string): Promise<number | 'busy' | 'absent'> {
  const info = await askForInfo(socket)
  if (info === 'absent' || info === 'busy') return info
  const pid = /^process_id:(\d+)/m.exec(info)?.[1]
  return pid === undefined || /^loading:1/m.test(info) ? 'busy' : Number(pid)
}

/** Redis unlinks a socket that it finds, also one in use; so starting is done one at a time. */
function tryLock(dir: string): FileLock | null {
  try {
    return acquireFileLock(join(dir, 'start.lock'), 'the one who starts Redis')
  } catch (error) {
    if (error instanceof BallastError && error.code === 'LOCKED') return null
    throw error
  }
}

async function findProgram(): Promise<string> {
  const folders = (process.env.PATH ?? '').split(':')
  for (const name of ['redis-server', 'valkey-server']) {
    for (const folder of folders) {
      const file = resolve(folder, name)
      const runs = await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
      if (runs) return file
    }
  }
  throw new BallastError({
    code: 'REDIS_NOT_INSTALLED',
    message: 'neither redis-server nor valkey-server is installed',
    hint: 'Install one (Debian: apt-get install redis-server), or give the address of a Redis.',
  })
}

const notStarted = (why: string): BallastError =>
  new BallastError({
    code: 'REDIS_NOT_STARTED',
    message: `no Redis could be started: ${why}`,
    hint: 'End a process that hangs there, or choose another state directory.',
    retryable: true,
  })
