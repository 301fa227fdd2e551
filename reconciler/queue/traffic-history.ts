import type { RowKey } from '../../schemas/node-state.ts'
import { TrafficRecord } from '../../schemas/traffic.ts'
import { answersOf, type RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { trafficKey } from './keys.ts'

/** How much traffic each service had lately. */
export interface TrafficHistory {
  write(records: ReadonlyMap<RowKey, TrafficRecord>): Promise<void>
  /** Of these services, those that had any. What cannot be read is left out, and the log says so. */
  read(keys: readonly RowKey[]): Promise<Map<RowKey, TrafficRecord>>
}

/** Two windows and a day: a service without traffic for so long is forgotten. */
const KEPT_SECONDS = 15 * 24 * 3600
/** In one call; keeps each well within its deadline. */
const CHUNK = 500

export function createTrafficHistory(connection: RedisConnection): TrafficHistory {
  return {
    async write(records) {
      const entries = [...records]
      for (let at = 0; at < entries.length; at += CHUNK) {
        await connection.call(redis => {
          const pipeline = redis.pipeline()
          for (const [key, record] of entries.slice(at, at + CHUNK))
            pipeline.set(trafficKey(key), JSON.stringify(TrafficRecord.parse(record)), 'EX', KEPT_SECONDS)
          return answersOf(pipeline)
        })
      }
    },
    async read(keys) {
      const records = new Map<RowKey, TrafficRecord>()
      for (let at = 0; at < keys.length; at += CHUNK) {
        const some = keys.slice(at, at + CHUNK)
        const texts = await connection.call(redis => redis.mget(some.map(trafficKey)))
        for (const [index, text] of texts.entries()) {
          if (text === null) continue
          const key = some[index]!
          try {
            records.set(key, decode(TrafficRecord, trafficKey(key), text))
          } catch (error) {
            connection.log.warn({ key, err: error }, 'a record of traffic cannot be read')
          }
        }
      }
      return records
    },
  }
}
