import { BallastError } from '../../schemas/ballast-error.ts'
import type { PackedChange } from '../../schemas/tables-change.ts'
import { Want } from '../../schemas/want.ts'
import type { RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { callChannel, WANTS_KEY, wantKey } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'

/** What every node should be. */
export interface Wants {
  /** Throws `WANT_SUPERSEDED` when the node has a want of this or a higher generation that is not the same. */
  publish(want: Want): Promise<void>
  /**
   * Each or none of those that are written together; throws as `publish` does, once the others are written. Whoever
   * listens for a node is told its want, and what it changes in the state before where that is given, by node
   * (`Offer`); gives the nodes that nobody listens for.
   */
  publishAll(wants: readonly Want[], changes?: ReadonlyMap<string, PackedChange>): Promise<string[]>
  /** Throws `QUEUE_VALUE_UNREADABLE`. */
  read(node: string): Promise<Want | null>
  /** By node. One that cannot be read is left out, and the log says so. */
  readAll(): Promise<Map<string, Want>>
  /** Removing what is gone is no error. */
  remove(node: string): Promise<void>
}

/**
 * Writes wants that differ in node and state alone, which is all that is sent of each, and tells those who listen.
 * Gives two lists: the node and the generation (as text) that stand in the way, for each of those that were not written;
 * and the nodes that nobody listens for. A value that cannot be read stands in nobody's way. KEYS: the set of nodes, the
 * wants. ARGV: the generation, the rest of the wants as JSON without its first brace, how many wants; then for each its
 * node, its state's digest and which of the changes is its own, from 1 (0: none); then the changes.
 */
const PUBLISH = `
local refused, unheard = {}, {}
local count = tonumber(ARGV[3])
for at = 1, count do
  local node, digest, change = ARGV[3 * at + 1], ARGV[3 * at + 2], tonumber(ARGV[3 * at + 3])
  local text = '{"node":"' .. node .. '","stateDigest":"' .. digest .. '",' .. ARGV[2]
  local held = redis.call('GET', KEYS[at + 1])
  local generation = nil
  if held and held ~= text then
    local readable, want = pcall(cjson.decode, held)
    generation = readable and type(want) == 'table' and tonumber(want['generation'])
  end
  if generation and generation >= tonumber(ARGV[1]) then
    refused[#refused + 1] = node
    refused[#refused + 1] = string.format('%.0f', generation)
  else
    redis.call('SET', KEYS[at + 1], text)
    redis.call('SADD', KEYS[1], node)
    local packed = change > 0 and ARGV[3 * count + 3 + change] or 'null'
    local offer = '{"want":' .. text .. ',"change":' .. packed .. '}'
    if redis.call('PUBLISH', '${callChannel('')}' .. node, offer) == 0 then unheard[#unheard + 1] = node end
  end
end
return { refused, unheard }
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
  async function publishTogether(
    wants: readonly Want[],
    changes: ReadonlyMap<string, PackedChange>,
  ): Promise<[refused: string[], unheard: string[]]> {
    const { node: _, stateDigest: __, ...shared } = wants[0]!
    const keys = [WANTS_KEY, ...wants.map(({ node }) => wantKey(node))]
    const { packed, numbers } = packChanges(wants, changes)
    const args = [
      shared.generation,
      JSON.stringify(shared).slice(1),
      wants.length,
      ...wants.flatMap(({ node, stateDigest }, index) => [node, stateDigest, numbers[index]!]),
      ...packed,
    ]
    const answer = await evalFenced({ connection, fence, script: PUBLISH, keys, args })
    return answer as [string[], string[]]
  }

  async function publishAll(
    wants: readonly Want[],
    changes: ReadonlyMap<string, PackedChange> = new Map(),
  ): Promise<string[]> {
    const alike = Map.groupBy(
      wants.map(want => Want.parse(want)),
      ({ node: _, stateDigest: __, ...shared }) => JSON.stringify(shared),
    )
    const refused: string[] = []
    const unheard: string[] = []
    for (const group of alike.values()) {
      for (let at = 0; at < group.length; at += AT_ONCE) {
        const [no, nobody] = await publishTogether(group.slice(at, at + AT_ONCE), changes)
        refused.push(...no)
        unheard.push(...nobody)
      }
    }
    const [node, higher] = refused
    if (node === undefined) return unheard
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
    async publish(want) {
      await publishAll([want])
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

/** The same change of many nodes is there once; `numbers` say which is whose, from 1, 0 for none. */
function packChanges(
  wants: readonly Want[],
  changes: ReadonlyMap<string, PackedChange>,
): { packed: string[]; numbers: number[] } {
  const packed: string[] = []
  const known = new Map<string, number>()
  const numbers = wants.map(({ node }) => {
    const change = changes.get(node)
    if (change === undefined) return 0
    const text = JSON.stringify(change)
    const number = known.get(text) ?? packed.push(text)
    known.set(text, number)
    return number
  })
  return { packed, numbers }
}
