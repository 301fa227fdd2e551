import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
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

/** A hundred thousand backends are 8 to 10 MB, which keep the event loop until the kernel has taken them; packed 0.3 to 2.4. */
const PACKED_FROM_BYTES = 1 << 16
const MOST_BYTES = 1 << 28

export function createCounters(connection: RedisConnection): Counters {
  return {
    async publish(counters) {
      const value = await encode(counters)
      await connection.call(redis => redis.set(countersKey(counters.node), value, 'EX', FRESH_SECONDS))
    },
    async readAll(nodes) {
      if (nodes.length === 0) return []
      const values = await connection.call(redis => redis.mgetBuffer(nodes.map(countersKey)))
      const read: NodeCounters[] = []
      for (const [index, node] of nodes.entries()) {
        const value = values[index] ?? null
        if (value === null) continue
        try {
          read.push(decode(NodeCounters, countersKey(node), await unpack(value)))
        } catch (error) {
          connection.log.warn({ node, err: error }, 'counters cannot be read')
        }
      }
      return read
    },
  }
}

/** JSON, made in slices; gzip of it (RFC 1952) when it is long. */
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
  const bytes = Buffer.concat(parts)
  return bytes.length < PACKED_FROM_BYTES ? bytes : promisify(gzip)(bytes, { level: 1 })
}

async function unpack(value: Buffer): Promise<string> {
  const isPacked = value[0] === 0x1f && value[1] === 0x8b
  const bytes = isPacked ? await promisify(gunzip)(value, { maxOutputLength: MOST_BYTES }) : value
  return bytes.toString('utf8')
}
