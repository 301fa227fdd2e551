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
  /** Each or none of those that are written together; throws as `publish` does, once the others are written. */
  publishAll(wants: readonly Want[]): Promise<void>
  /** Throws `QUEUE_VALUE_UNREADABLE`. */
  read(node: string): Promise<Want | null>
  /** By node. One that cannot be read is left out, and the log says so. */
  readAll(): Promise<Map<string, Want>>
  /** Removing what is gone is no error. */
  remove(node: string): Promise<void>
}

/**
 * Writes wants that differ in node and state alone, which is all that is sent of each. Gives the node and the generation
 * (as text) that stand in the way, for each of those that were not written. A value that cannot be read stands in
 * nobody's way. KEYS: the set of nodes, the wants. ARGV: the generation, the rest of the wants as JSON without its
 * first brace, how many wants; then for each its node and its state's digest.
 */
const PUBLISH = `
local refused = {}
for index = 2, tonumber(ARGV[3]) + 1 do
  local node, digest = ARGV[2 * index], ARGV[2 * index + 1]
  local text = '{"node":"' .. node .. '","stateDigest":"' .. digest .. '",' .. ARGV[2]
  local held = redis.call('GET', KEYS[index])
  local generation = nil
  if held and held ~= text then
    local readable, want = pcall(cjson.decode, held)
    generation = readable and type(want) == 'table' and tonumber(want['generation'])
  end
  if generation and generation >= tonumber(ARGV[1]) then
    refused[#refused + 1] = node
    refused[#refused + 1] = string.format('%.0f', generation)
  else
    redis.call('SET', KEYS[index], text)
    redis.call('SADD', KEYS[1], node)
  end
end
return refused
`

/** Wants in one call: Redis does nothing else meanwhile. */
const AT_ONCE = 100

/** KEYS: the want, the set of nodes. ARGV: the node. */
const REMOVE = `
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
`

/** `fence`: of a reconciler, whose writes Redis refuses when another leads by now (`NOT_LEADING`). */
export function createWants(connection: RedisConnection, fence?: Fence): Wants {
  async function publishTogether(wants: readonly Want[]): Promise<string[]> {
    const { node: _, stateDigest: __, ...shared } = wants[0]!
    const keys = [WANTS_KEY, ...wants.map(({ node }) => wantKey(node))]
    const args = [
      shared.generation,
      JSON.stringify(shared).slice(1),
      wants.length,
      ...wants.flatMap(({ node, stateDigest }) => [node, stateDigest]),
    ]
    return (await evalFenced({ connection, fence, script: PUBLISH, keys, args })) as string[]
  }

  async function publishAll(wants: readonly Want[]): Promise<void> {
    const alike = Map.groupBy(
      wants.map(want => Want.parse(want)),
      ({ node: _, stateDigest: __, ...shared }) => JSON.stringify(shared),
    )
    const refused: string[] = []
    for (const group of alike.values()) {
      for (let at = 0; at < group.length; at += AT_ONCE) {
        refused.push(...(await publishTogether(group.slice(at, at + AT_ONCE))))
      }
    }
    const [node, higher] = refused
    if (node === undefined) return
    const generation = wants.find(want => want.node === node)?.generation
    throw new BallastError({
      code: 'WANT_SUPERSEDED',
      message: `node ${node} already wants generation ${higher}, and ${generation} is not newer`,
      hint: 'Another reconciler may be at work, or the clock went back; the next generation must be higher.',
      retryable: true,
    })
  }

  return {
    publishAll,
    publish: want => publishAll([want]),

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
