import { FleetDrift } from '../../schemas/fleet-drift.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { FLEET_DRIFT_KEY, LEADER_KEY } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'

/** The drift that only the fleet as a whole shows, for commands, the API and the reconciler that leads next. */
export interface FleetDriftBoard {
  /** Throws `NOT_LEADING`. */
  write(drift: FleetDrift): Promise<void>
  /** Null: none was written, Redis was emptied, or it cannot be read, which the log says. `isLed`: a reconciler keeps it true. */
  read(): Promise<{ readonly drift: FleetDrift | null; readonly isLed: boolean }>
}

export const createFleetDriftBoard = (connection: RedisConnection, fence?: Fence): FleetDriftBoard => ({
  async write(drift) {
    const script = "redis.call('SET', KEYS[1], ARGV[1])"
    const text = JSON.stringify(FleetDrift.parse(drift))
    await evalFenced({ connection, fence, script, keys: [FLEET_DRIFT_KEY], args: [text] })
  },
  async read() {
    const [text, leader] = await connection.call(redis => redis.mget(FLEET_DRIFT_KEY, LEADER_KEY))
    return { drift: text == null ? null : readText(connection, text), isLed: leader != null }
  },
})

function readText({ log }: RedisConnection, text: string): FleetDrift | null {
  try {
    return decode(FleetDrift, FLEET_DRIFT_KEY, text)
  } catch (error) {
    log.warn(
      { err: error },
      'the drift of the fleet cannot be read; a reconciler that begins to lead finds it anew',
    )
    return null
  }
}
