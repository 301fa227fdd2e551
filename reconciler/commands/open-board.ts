import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { SettingName, Settings } from '../../schemas/settings.ts'
import type { Log } from '../log/log.ts'
import type { RedisAddress } from '../queue/client.ts'
import { connectRedis, type RedisConnection } from '../queue/connection.ts'
import { type Counters, createCounters } from '../queue/counters.ts'
import { createFleetDriftBoard, type FleetDriftBoard } from '../queue/fleet-drift.ts'
import type { Fence } from '../queue/lease.ts'
import { createReports, type Reports } from '../queue/reports.ts'
import { createReviewedPlans, type ReviewedPlans } from '../queue/reviewed-plans.ts'
import { createRevisions, type Revisions } from '../queue/revisions.ts'
import { createRollouts, type Rollouts } from '../queue/rollouts.ts'
import { createStateStore, type StateStore } from '../queue/state-store.ts'
import { createWants, type Wants } from '../queue/wants.ts'

/** Everything that is kept in Redis. */
export interface OpenBoard {
  readonly connection: RedisConnection
  readonly wants: Wants
  readonly states: StateStore
  readonly reports: Reports
  readonly revisions: Revisions
  readonly rollouts: Rollouts
  readonly counters: Counters
  readonly fleetDrift: FleetDriftBoard
  readonly reviews: ReviewedPlans
  close(): void
}

/** The settings of every command that speaks to Redis. */
export const REDIS_SETTINGS = [
  'redis',
  'redisUser',
  'redisPasswordFile',
  'redisSentinelPasswordFile',
  'redisCaFile',
  'redisCertFile',
  'redisKeyFile',
] as const satisfies readonly SettingName[]

export type BoardSettings = Pick<Settings, 'stateDir'> & {
  readonly [S in (typeof REDIS_SETTINGS)[number]]?: Settings[S] | undefined
}

/** Where our own redis-server lives when no address is configured. */
export const embeddedRedisDir = (stateDir: string): string => join(stateDir, 'redis')

/** Throws `REDIS_SETTINGS` when a file cannot be read. */
function redisAddress(settings: BoardSettings): RedisAddress {
  if (settings.redis === undefined) return { socket: join(embeddedRedisDir(settings.stateDir), 'redis.sock') }
  const password = readIfSet('redisPasswordFile', settings)
  const sentinelPassword = readIfSet('redisSentinelPasswordFile', settings)
  const ca = readIfSet('redisCaFile', settings)
  const cert = readIfSet('redisCertFile', settings)
  const key = readIfSet('redisKeyFile', settings)
  return {
    url: settings.redis,
    ...(settings.redisUser !== undefined && { username: settings.redisUser }),
    ...(password !== undefined && { password: password.trim() }),
    ...(sentinelPassword !== undefined && { sentinelPassword: sentinelPassword.trim() }),
    tls: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    },
  }
}

function readIfSet(name: (typeof REDIS_SETTINGS)[number], settings: BoardSettings): string | undefined {
  const file = settings[name]
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new BallastError({
      code: 'REDIS_SETTINGS',
      message: `the file of ${name}, ${file}, cannot be read`,
      hint: 'Give the right path, and let the user that Ballast runs as read it.',
      cause,
    })
  }
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
    rollouts: createRollouts(connection, fence),
    counters: createCounters(connection),
    fleetDrift: createFleetDriftBoard(connection, fence),
    reviews: createReviewedPlans(connection, Date.now),
    close: () => connection.close(),
  }
}
