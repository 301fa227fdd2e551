import { type ChainableCommander, Cluster, type ClusterOptions, Redis } from 'ioredis'
import { parseRedisAddress, type RedisTarget } from '../../schemas/redis-address.ts'

export type { Redis }

export interface RedisAddress {
  /** As the setting `redis` (schemas/redis-address.ts). */
  readonly url?: string
  /** Path of a unix socket, in place of `url`. */
  readonly socket?: string
  /** In place of the user in `url`. */
  readonly username?: string
  readonly password?: string
  readonly sentinelPassword?: string
  /** PEM; for an address with TLS. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

export interface ClientOptions {
  /** ms that a command may take; without it as long as it likes. */
  readonly commandTimeout?: number
  /** ms without a byte, though some is due, after which the peer is gone without a word. */
  readonly socketTimeout: number
  /** Whether commands wait for a connection, and are sent again on the next one. */
  readonly waits: boolean
}

const MAX_BACKOFF_MS = 1_000
/** ioredis keeps the process alive for so long after a connection that had failed already. */
const LINGER_MS = 50
const CONNECT_TIMEOUT_MS = 5_000
/** A Sentinel that hangs must not keep us from the next one. */
const SENTINEL_TIMEOUT_MS = 1_000

const backOff = (attempts: number): number => Math.min(MAX_BACKOFF_MS, 25 * 2 ** Math.min(attempts, 10))

/** Throws `TypeError` for an address that the settings would have refused. */
function targetOf({ url, socket }: RedisAddress): RedisTarget {
  if (socket !== undefined) return { kind: 'socket', path: socket }
  const target = parseRedisAddress(url ?? 'redis://127.0.0.1')
  if (typeof target === 'string') throw new TypeError(`the address of Redis ${target}`)
  return target
}

/** In words for people. */
export function describeAddress(address: RedisAddress): string {
  const target = targetOf(address)
  if (target.kind === 'socket') return target.path
  if (target.kind === 'standalone') return hostText(target.at)
  if (target.kind === 'sentinel') return `${target.master} of ${target.sentinels.map(hostText).join()}`
  return target.nodes.map(hostText).join()
}

const hostText = ({ host, port }: { host: string; port: number }): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** Connects in the background, and again for ever. */
export function openClient(address: RedisAddress, options: ClientOptions): Redis {
  const client = open(targetOf(address), address, options)
  // Without a listener it would print; whoever wants to know listens too.
  client.on('error', () => {})
  return client
}

function open(target: RedisTarget, address: RedisAddress, options: ClientOptions): Redis {
  const { waits, socketTimeout, commandTimeout } = options
  const user = address.username ?? ('user' in target ? target.user : null)
  const tls = 'tls' in target && target.tls ? { ...address.tls } : undefined
  const common: NonNullable<ClusterOptions['redisOptions']> & { replyMapping?: 'legacy' } = {
    socketTimeout,
    ...(commandTimeout !== undefined && { commandTimeout }),
    ...(user !== null && { username: user }),
    ...(address.password !== undefined && { password: address.password }),
    ...(tls !== undefined && { tls }),
    // What it would tell of itself is one more command to allow every user.
    disableClientInfo: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: LINGER_MS,
    maxRetriesPerRequest: waits ? null : 0,
    autoResendUnfulfilledCommands: waits,
  }
  if (target.kind === 'cluster') {
    const cluster = new Cluster([...target.nodes], {
      enableOfflineQueue: commandTimeout === undefined,
      clusterRetryStrategy: backOff,
      // Names in certificates are names: not to be looked up first.
      dnsLookup: (host, callback) => callback(null, host),
      redisOptions: common,
    })
    // It takes the same commands; what else is used of it is in this file.
    return cluster as unknown as Redis
  }
  const single = {
    ...common,
    retryStrategy: backOff,
    // Whoever waits may wait from the beginning.
    enableOfflineQueue: commandTimeout === undefined,
  }
  switch (target.kind) {
    case 'socket':
      return new Redis({ ...single, path: target.path })
    case 'standalone':
      return new Redis({ ...single, ...target.at, db: target.db })
    case 'sentinel':
      return new Redis({
        ...single,
        sentinels: [...target.sentinels],
        name: target.master,
        db: target.db,
        sentinelRetryStrategy: backOff,
        sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
        ...(address.sentinelPassword !== undefined && { sentinelPassword: address.sentinelPassword }),
        ...(tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: tls }),
        // A master that became a replica under our connection: ask the Sentinels again.
        reconnectOnError: error => error.message.startsWith('READONLY'),
      })
  }
}

/** The servers that take writes, as far as they are known. */
export const mastersOf = (client: Redis): readonly Redis[] => {
  const cluster = client as unknown as Cluster
  return cluster.isCluster === true ? cluster.nodes('master') : [client]
}

/** Calls back when a server of a Cluster came or went: another one may answer for our keys. Never without a Cluster. */
export function onServersChange(client: Redis, listener: () => void): void {
  for (const event of ['+node', '-node']) client.on(event, listener)
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
