import { BallastError } from '../../schemas/ballast-error.ts'
import { Want } from '../../schemas/want.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { WANTS_KEY, wantKey } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'

/** What every node should be. */
export interface Wants {
  /** Throws `WANT_SUPERSEDED` when the node has a want of this or a higher generation that is not the same. */
  publish(want: Want): Promise<void>
  /** Throws `QUEUE_VALUE_UNREADABLE`. */
  read(node: string): Promise<Want | null>
  /** By node. One that cannot be read is left out, and the log says so. */
  readAll(): Promise<Map<string, Want>>
  /** Removing what is gone is no error. */
  remove(node: string): Promise<void>
}

/**
 * Gives the generation that stands in the way as text, or nil. A value that cannot be read stands in
 * nobody's way. KEYS: the want, the set of nodes. ARGV: the new want, its generation, the node.
 */
const PUBLISH = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  local readable, want = pcall(cjson.decode, held)
  local generation = readable and type(want) == 'table' and tonumber(want['generation'])
  if generation and generation >= tonumber(ARGV[2]) then return string.format('%.0f', generation) end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[3])
return nil
`

/** KEYS: the want, the set of nodes. ARGV: the node. */
const REMOVE = `
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
`

/** `fence`: of a reconciler, whose writes Redis refuses when another leads by now (`NOT_LEADING`). */
export function createWants(connection: RedisConnection, fence?: Fence): Wants {
  return {
    async publish(want) {
      const text = JSON.stringify(Want.parse(want))
      const higher = await evalFenced({
        connection,
        fence,
        script: PUBLISH,
        keys: [wantKey(want.node), WANTS_KEY],
        args: [text, want.generation, want.node],
      })
      if (higher === null) return
      throw new BallastError({
        code: 'WANT_SUPERSEDED',
        message: `node ${want.node} already wants generation ${higher}, and ${want.generation} is not newer`,
        hint: 'Another reconciler may be at work, or the clock went back; the next generation must be higher.',
        retryable: true,
      })
    },

    async read(node) {
      const key = wantKey(node)
      const text = await connection.call(redis => redis.get(key))
      return text === null ? null : decode(Want, key, text)
    },

    async readAll() {
      const held = await connection.call(async redis => {
        const nodes = await redis.smembers(WANTS_KEY)
        return { nodes, texts: nodes.length === 0 ? [] : await redis.mget(nodes.map(wantKey)) }
      })
      const wants = new Map<string, Want>()
      for (const [index, node] of held.nodes.entries()) {
        const text = held.texts[index] ?? null
        if (text === null) continue
        try {
          wants.set(node, decode(Want, wantKey(node), text))
        } catch (error) {
          connection.log.warn({ node, err: error }, 'a want cannot be read')
        }
      }
      return wants
    },

    async remove(node) {
      await evalFenced({
        connection,
        fence,
        script: REMOVE,
        keys: [wantKey(node), WANTS_KEY],
        args: [node],
      })
    },
  }
}
