import { BallastError } from '../../schemas/ballast-error.ts'
import { type Log, silentLog } from '../log/log.ts'
import {
  describeAddress,
  mastersOf,
  onServersChange,
  openClient,
  type Redis,
  type RedisAddress,
} from './client.ts'
import { LEADER_KEY } from './keys.ts'
import { describeFailure, refuseEviction } from './redis-failure.ts'

export { answersOf, type Redis } from './client.ts'

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
/** Longer than any command blocks. */
const SILENCE_MS = 20_000

/** Connects in the background, and again for ever when it is lost, with back-off. */
export function connectRedis(options: RedisConnectionOptions): RedisConnection {
  const { log = silentLog(), deadline = DEFAULT_DEADLINE_MS, ...address } = options
  const client = openClient(address, {
    // Longer than a call, which looks first whether the answer is here.
    commandTimeout: 10 * deadline,
    socketTimeout: 2 * deadline,
    waits: false,
  })
  const where = describeAddress(address)
  const listeners = new Set<() => void>()
  let usable = createGate()
  let isUsable = false
  let lastError: unknown = null

  async function admit(): Promise<void> {
    await askMasters(client)
    lastError = null
    if (isUsable || client.status !== 'ready') return
    isUsable = true
    usable.resolve()
    for (const listener of listeners) listener()
  }

  client.on('error', (error: unknown) => {
    lastError = error
  })
  const tryToAdmit = (): void =>
    void admit().catch((error: unknown) => {
      lastError = error
      if (!(error instanceof BallastError)) return
      log.error({ err: error }, 'Redis cannot be used')
      usable.reject(error)
      usable = createGate()
    })
  const lose = (): void => {
    if (!isUsable) return // Never was, or closed by us.
    isUsable = false
    usable = createGate()
    log.debug('connection to Redis lost')
  }
  client.on('ready', tryToAdmit)
  client.on('close', lose)
  onServersChange(client, () => {
    lose()
    if (client.status === 'ready') tryToAdmit()
  })

  const unreachable = (cause: unknown): BallastError => describeFailure(cause ?? lastError, where)

  return {
    log,
    async call(commands) {
      // A plain timer: aborting one costs an error with its stack at every call.
      const { promise: expiry, reject } = Promise.withResolvers<never>()
      const expire = (): void =>
        reject(unreachable(lastError ?? new Error(`no answer within ${deadline} ms`)))
      // Who was too busy to read what came takes it first.
      const timer = setTimeout(() => setImmediate(expire), deadline)
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
        clearTimeout(timer)
      }
    },
    onReady(listener) {
      listeners.add(listener)
      if (isUsable) listener()
      return () => listeners.delete(listener)
    },
    openBlocking: resend => openClient(address, { socketTimeout: SILENCE_MS, waits: resend }),
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

/**
 * Throws when one of them may drop keys, or when the one that has our keys does not answer; of a Cluster's others
 * some may be away.
 */
async function askMasters(client: Redis): Promise<void> {
  const masters = mastersOf(client)
  const answers = await Promise.allSettled(
    masters.map(async master => refuseEviction(await master.info('memory'))),
  )
  const failed = answers.filter(answer => answer.status === 'rejected')
  const refused = failed.find(({ reason }) => reason instanceof BallastError)
  if (refused !== undefined) throw refused.reason
  if (masters.length <= 1 && failed.length > 0) throw failed[0]!.reason
  if (masters.length !== 1) await client.exists(LEADER_KEY)
}
