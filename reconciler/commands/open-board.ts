import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../log/log.ts'
import { connectRedis, type RedisAddress, type RedisConnection } from '../queue/connection.ts'
import type { Fence } from '../queue/lease.ts'
import { createReports, type Reports } from '../queue/reports.ts'
import { createRevisions, type Revisions } from '../queue/revisions.ts'
import { createStateStore, type StateStore } from '../queue/state-store.ts'
import { createWants, type Wants } from '../queue/wants.ts'

/** Everything that is kept in Redis. */
export interface OpenBoard {
  readonly connection: RedisConnection
  readonly wants: Wants
  readonly states: StateStore
  readonly reports: Reports
  readonly revisions: Revisions
  close(): void
}

export interface BoardSettings {
  readonly stateDir: string
  readonly redis: string | undefined
  readonly redisPasswordFile: string | undefined
}

/** Where our own redis-server lives when no address is configured. */
export const embeddedRedisDir = (stateDir: string): string => join(stateDir, 'redis')

export function redisAddress({ stateDir, redis, redisPasswordFile }: BoardSettings): RedisAddress {
  if (redis === undefined) return { socket: join(embeddedRedisDir(stateDir), 'redis.sock') }
  const password =
    redisPasswordFile === undefined ? {} : { password: readFileSync(redisPasswordFile, 'utf8').trim() }
  if (redis.startsWith('unix:')) return { socket: redis.slice('unix:'.length), ...password }
  return { url: redis, ...password }
}

export const openConnection = (settings: BoardSettings, log: Log): RedisConnection =>
  connectRedis({ ...redisAddress(settings), log })

export function openBoard(settings: BoardSettings, log: Log): OpenBoard {
  return openBoardOn(openConnection(settings, log))
}

/** `fence`: of a reconciler, which must lead to write. */
export function openBoardOn(connection: RedisConnection, fence?: Fence): OpenBoard {
  return {
    connection,
    wants: createWants(connection, fence),
    states: createStateStore(connection, fence),
    reports: createReports(connection),
    revisions: createRevisions(connection, fence),
    close: () => connection.close(),
  }
}
