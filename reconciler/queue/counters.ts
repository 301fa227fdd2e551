import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip, gunzip } from 'node:zlib'
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
const PACKED_FROM = 1000
const PIECE = 1 << 16
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

/** JSON; of many backends made in slices and packed as it is made: gzip (RFC 1952). */
async function encode(counters: NodeCounters): Promise<string | Buffer> {
  const backends = Object.values(counters.services).reduce((sum, { length }) => sum + length, 0)
  if (backends < PACKED_FROM) return JSON.stringify(counters)
  const packed = createGzip({ level: 1 })
  const [bytes] = await Promise.all([buffer(packed), pipeline(composeJson(counters), packed)])
  return bytes
}

async function* composeJson({ services, ...rest }: NodeCounters): AsyncGenerator<string, void> {
  const breathe = createBreather()
  let piece = `${JSON.stringify(rest).slice(0, -1)},"services":{`
  let comma = ''
  for (const [key, backends] of Object.entries(services)) {
    await breathe()
    piece += `${comma}${JSON.stringify(key)}:${JSON.stringify(backends)}`
    comma = ','
    if (piece.length < PIECE) continue
    yield piece
    piece = ''
  }
  yield `${piece}}}`
}

async function unpack(value: Buffer): Promise<string> {
  const isPacked = value[0] === 0x1f && value[1] === 0x8b
  const bytes = isPacked ? await promisify(gunzip)(value, { maxOutputLength: MOST_BYTES }) : value
  return bytes.toString('utf8')
}
