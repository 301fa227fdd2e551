import { NodeCounters } from '../../schemas/node-counters.ts'
import { createBreather } from '../process/breather.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { countersKey } from './keys.ts'

/** What the dataplanes count; the latest of each node, for as long as it is fresh. */
export interface Counters {
  publish(counters: NodeCounters): Promise<void>
  /** Of these nodes, those that published lately. What cannot be read is left out, and the log says so. */
  readAll(nodes: readonly string[]): Promise<NodeCounters[]>
}

/** A node that publishes no more is forgotten after so long, seconds; workers publish every 10 s, those of large tables every 30. */
const FRESH_SECONDS = 60

/** As JSON. Of a hundred thousand backends it is megabytes, which are made in slices, and sent without being copied again. */
async function encode({ services, ...rest }: NodeCounters): Promise<Buffer> {
  const breathe = createBreather()
  const parts = [Buffer.from(`${JSON.stringify(rest).slice(0, -1)},"services":{`)]
  for (const [key, backends] of Object.entries(services)) {
    await breathe()
    parts.push(
      Buffer.from(`${parts.length === 1 ? '' : ','}${JSON.stringify(key)}:${JSON.stringify(backends)}`),
    )
  }
  parts.push(Buffer.from('}}'))
  return Buffer.concat(parts)
}

export function createCounters(connection: RedisConnection): Counters {
  return {
    async publish(counters) {
      const text = await encode(counters)
      await connection.call(redis => redis.set(countersKey(counters.node), text, 'EX', FRESH_SECONDS))
    },
    async readAll(nodes) {
      if (nodes.length === 0) return []
      const texts = await connection.call(redis => redis.mget(nodes.map(countersKey)))
      return nodes.flatMap((node, index) => {
        const text = texts[index] ?? null
        if (text === null) return []
        try {
          return [decode(NodeCounters, countersKey(node), text)]
        } catch (error) {
          connection.log.warn({ node, err: error }, 'counters cannot be read')
          return []
        }
      })
    },
  }
}
