import { setTimeout as delay } from 'node:timers/promises'
import { type ChainableCommander, Redis, type RedisOptions } from 'ioredis'
import { BallastError } from '../../schemas/ballast-error.ts'
import { type Log, silentLog } from '../log/log.ts'

export type { Redis }

export interface RedisAddress {
  /** `redis://host:6379/0`, or `rediss://` for TLS. */
  readonly url?: string
  /** Path of a unix socket. */
  readonly socket?: string
  readonly username?: string
  readonly password?: string
}

export interface RedisConnectionOptions extends RedisAddress {
  readonly log?: Log
  /** ms that one call may take in all; 2,000 when left out. */
  readonly deadline?: number
}

export interface RedisConnection {
  readonly log: Log
  /**
   * Runs commands as soon as Redis can be used, and settles within the deadline. One that was under way
   * then may still happen. Throws `REDIS_UNREACHABLE`, `REDIS_MAY_EVICT`, `REDIS_REFUSED`, `REDIS_FAILED`.
   */
  call<T>(commands: (redis: Redis) => Promise<T>): Promise<T>
  /**
   * Calls back whenever Redis can be used (again): on every connection, also the first, and at once when it
   * can now. What Redis held may be gone. Gives the function that ends it.
   */
  onReady(listener: () => void): () => void
  /**
   * One more connection, for commands that wait for something; whoever asks for it disconnects it. When it
   * is lost, what was under way fails, or with `resend` waits until it can be sent again.
   */
  openBlocking(resend: boolean): Redis
  /** Calls under way fail. */
  close(): void
}

const DEFAULT_DEADLINE_MS = 2_000
const MAX_BACKOFF_MS = 1_000
/** Longer than any command blocks. */
const SILENCE_MS = 20_000
/** ioredis keeps the process alive for so long after a connection that had failed already. */
const LINGER_MS = 50

/** Connects in the background, and again for ever when it is lost, with back-off. */
export function connectRedis(options: RedisConnectionOptions): RedisConnection {
  const { log = silentLog(), deadline = DEFAULT_DEADLINE_MS, ...address } = options
  const client = open(address, {
    commandTimeout: deadline,
    // No data for so long though some is due: the peer is gone without a word.
    socketTimeout: 2 * deadline,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  })
  const listeners = new Set<() => void>()
  let usable = createGate()
  let isUsable = false
  let lastError: unknown = null

  async function admit(): Promise<void> {
    await refuseEviction(client)
    lastError = null
    if (isUsable || client.status !== 'ready') return
    isUsable = true
    usable.resolve()
    for (const listener of listeners) listener()
  }

  client.on('error', (error: unknown) => {
    lastError = error
  })
  client.on('ready', () => {
    admit().catch((error: unknown) => {
      lastError = error
      if (!(error instanceof BallastError)) return
      log.error({ err: error }, 'Redis cannot be used')
      usable.reject(error)
      usable = createGate()
    })
  })
  client.on('close', () => {
    if (!isUsable) return // Never was, or closed by us.
    isUsable = false
    usable = createGate()
    log.debug('connection to Redis lost')
  })

  const unreachable = (cause: unknown): BallastError => toBallastError(cause ?? lastError, address)

  return {
    log,
    async call(commands) {
      const expired = new AbortController()
      const expiry = delay(deadline, null, { signal: expired.signal }).then(() => {
        throw unreachable(lastError ?? new Error(`no answer within ${deadline} ms`))
      })
      expiry.catch(() => {})
      try {
        // Connected, but refused when last looked at: an operator may have mended it since.
        if (!isUsable && client.status === 'ready') await Promise.race([admit(), expiry])
        await Promise.race([usable.promise, expiry])
        const work = commands(client)
        work.catch(() => {})
        return await Promise.race([work, expiry])
      } catch (error) {
        throw unreachable(error)
      } finally {
        expired.abort()
      }
    },
    onReady(listener) {
      listeners.add(listener)
      if (isUsable) listener()
      return () => listeners.delete(listener)
    },
    openBlocking: resend =>
      open(address, {
        socketTimeout: SILENCE_MS,
        maxRetriesPerRequest: resend ? null : 0,
        autoResendUnfulfilledCommands: resend,
      }),
    close() {
      isUsable = false
      usable.reject(new Error('the connection was closed'))
      client.disconnect()
    },
  }
}

function createGate(): PromiseWithResolvers<void> {
  const gate = Promise.withResolvers<void>()
  // Nobody may be waiting when it is shut for good.
  gate.promise.catch(() => {})
  return gate
}

type Settings = RedisOptions & { replyMapping?: 'legacy' }

function open(address: RedisAddress, settings: Settings): Redis {
  const options: Settings = {
    ...settings,
    ...(address.socket !== undefined && { path: address.socket }),
    ...(address.username !== undefined && { username: address.username }),
    ...(address.password !== undefined && { password: address.password }),
    retryStrategy: attempts => Math.min(MAX_BACKOFF_MS, 25 * 2 ** Math.min(attempts, 10)),
    connectTimeout: 5_000,
    disconnectTimeout: LINGER_MS,
  }
  const client = address.url === undefined ? new Redis(options) : new Redis(address.url, options)
  // Without a listener it would print; whoever wants to know listens too.
  client.on('error', () => {})
  return client
}

/** A Redis that drops keys when memory is short would lose wants without a word. */
async function refuseEviction(client: Redis): Promise<void> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await client.info('memory'))?.[1] ?? 'noeviction'
  if (policy === 'noeviction') return
  throw new BallastError({
    code: 'REDIS_MAY_EVICT',
    message: `Redis may drop keys when its memory is full (maxmemory-policy ${policy})`,
    hint: 'Run `CONFIG SET maxmemory-policy noeviction`, and set it in its configuration; Ballast needs a Redis of its own.',
    retryable: true,
  })
}

/** Replies that come while Redis starts or hands over to a replica: the same call may succeed soon. */
const PASSING = /^(LOADING|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|BUSY|NOREPLICAS)/
const NOT_ALLOWED = /^(NOAUTH|NOPERM|WRONGPASS)/

function toBallastError(cause: unknown, address: RedisAddress): BallastError {
  if (cause instanceof BallastError) return cause
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause)
  const where = address.socket ?? (address.url === undefined ? '' : new URL(address.url).host)
  if (NOT_ALLOWED.test(reason)) {
    return new BallastError({
      code: 'REDIS_REFUSED',
      message: `Redis at ${where} refused: ${reason}`,
      hint: 'Check the user and the password, and what Redis allows that user (ACL LIST).',
      cause,
    })
  }
  if (cause instanceof Error && cause.name === 'ReplyError' && !PASSING.test(reason)) {
    const full = reason.startsWith('OOM')
    return new BallastError({
      code: 'REDIS_FAILED',
      message: `Redis at ${where} could not do it: ${reason}`,
      hint: full ? 'Give Redis more memory (maxmemory).' : 'See what Redis says, and its log.',
      retryable: full || reason.startsWith('MISCONF'),
      cause,
    })
  }
  return new BallastError({
    code: 'REDIS_UNREACHABLE',
    message: `Redis at ${where} does not answer: ${reason}`,
    hint: 'Start it, or check its address. Nodes keep forwarding; everything goes on when it is back.',
    retryable: true,
    cause,
  })
}

/** Answers of a pipeline or transaction; throws the first error among them, which ioredis gives as a value. */
export async function answersOf(commands: ChainableCommander): Promise<unknown[]> {
  const results = (await commands.exec()) ?? []
  return results.map(([error, answer]) => {
    if (error !== null) throw error
    return answer
  })
}

/**
 * What the server on a unix socket says of itself (INFO); `absent` when nobody listens there, `busy` when
 * somebody does and gives no answer.
 */
export async function askForInfo(socket: string): Promise<string | 'absent' | 'busy'> {
  const client = new Redis({
    path: socket,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    disconnectTimeout: LINGER_MS,
    protocol: 2,
    retryStrategy: null,
    commandTimeout: 1_000,
    maxRetriesPerRequest: 0,
  })
  let failed: unknown = null
  client.on('error', (error: unknown) => {
    failed = error
  })
  try {
    await client.connect()
    return await client.info()
  } catch (error) {
    const { code } = (failed ?? error) as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ECONNREFUSED' ? 'absent' : 'busy'
  } finally {
    client.disconnect()
  }
}
