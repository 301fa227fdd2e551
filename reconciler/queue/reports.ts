import { setTimeout as delay } from 'node:timers/promises'
import type { NodeReport } from '../../schemas/report.ts'
import { answersOf, type Redis, type RedisConnection } from './connection.ts'
import { REPORT_STREAM_KEY, REPORTERS_KEY, reportKey } from './keys.ts'
import { evalFenced } from './lease.ts'
import {
  applyNews,
  fieldsOf,
  findNews,
  flatten,
  type ReportFields,
  type ReportNews,
  readFields,
  unflatten,
} from './report-news.ts'

/** What the nodes say of themselves; the latest of each. */
export interface Reports {
  publish(report: NodeReport): Promise<void>
  /** By node. One that cannot be read is left out, and the log says so. */
  readAll(): Promise<Map<string, NodeReport>>
  /**
   * The latest report of every node, then each new one, until aborted. Of reports that come faster than they
   * are taken only the latest is given. When Redis was away or emptied, it begins again with all.
   */
  stream(signal: AbortSignal): AsyncIterable<NodeReport>
  /** Forgets a node. Removing what is gone is no error. */
  remove(node: string): Promise<void>
}

/** Of the stream. Its entries are small: news that is not is read from the report itself. */
const STREAM_LENGTH = 10_000
const NEWS_BYTES = 1_024
/** ms that a read waits for news. */
const BLOCK_MS = 5_000
const RETRY_MS = 250

/**
 * Writes what is new in a report, on top of the one that it follows, or a whole one. Gives 0, having written nothing,
 * when another stands there. KEYS: the report, the set of nodes, the stream. ARGV: the node, `since`, whether the stream
 * takes the news; then names and values of fields.
 */
const PUBLISH = `
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
elseif redis.call('HGET', KEYS[1], 'at') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('SADD', KEYS[2], ARGV[1])
local entry = { 'node', ARGV[1] }
if ARGV[3] == '1' then entry = { 'node', ARGV[1], 'since', ARGV[2], unpack(ARGV, 4) } end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ${STREAM_LENGTH}, '*', unpack(entry))
return 1
`

export function createReports(connection: RedisConnection): Reports {
  /** Of this process's own nodes: what was published last, and when that is done. */
  const published = new Map<string, ReportFields>()
  const turns = new Map<string, Promise<unknown>>()

  async function readOf(nodes: readonly string[]): Promise<Map<string, ReportFields>> {
    if (nodes.length === 0) return new Map()
    const answers = await connection.call(redis => {
      const pipeline = redis.pipeline()
      for (const node of nodes) pipeline.hgetall(reportKey(node))
      return pipeline.exec()
    })
    const found = new Map<string, ReportFields>()
    for (const [index, node] of nodes.entries()) {
      const [error, fields] = answers?.[index] ?? []
      if (error?.message.startsWith('WRONGTYPE')) {
        connection.log.warn({ node, err: error }, 'a report cannot be read')
      } else if (error != null) throw error
      else found.set(node, new Map(Object.entries(fields as Record<string, string>)))
    }
    return found
  }

  function readable(fields: ReadonlyMap<string, ReportFields>): NodeReport[] {
    return [...fields].flatMap(([node, each]) => {
      if (each.size === 0) return []
      try {
        return [readFields(reportKey(node), each)]
      } catch (error) {
        connection.log.warn({ node, err: error }, 'a report cannot be read')
        return []
      }
    })
  }

  const readEvery = async (): Promise<Map<string, ReportFields>> =>
    readOf(await connection.call(redis => redis.smembers(REPORTERS_KEY)))

  async function write(node: string, { since, fields }: ReportNews): Promise<boolean> {
    const list = flatten(fields)
    const isSmall = list.reduce((sum, text) => sum + text.length, 0) <= NEWS_BYTES
    const answer = await evalFenced({
      connection,
      fence: undefined,
      script: PUBLISH,
      keys: [reportKey(node), REPORTERS_KEY, REPORT_STREAM_KEY],
      args: [node, since, isSmall ? 1 : 0, ...list],
    })
    return answer === 1
  }

  async function publishNext(report: NodeReport): Promise<void> {
    const { node } = report
    const fields = fieldsOf(report)
    const before = published.get(node)
    // Of a call that fails nobody knows what it did.
    published.delete(node)
    const isThere = await write(node, findNews(before, fields))
    if (!isThere) await write(node, findNews(undefined, fields))
    published.set(node, fields)
  }

  const lastEntry = async (): Promise<string> => {
    const entries = await connection.call(redis => redis.xrevrange(REPORT_STREAM_KEY, '+', '-', 'COUNT', 1))
    return entries[0]?.[0] ?? '0-0'
  }

  /** Ends when entries that were seen are there no more: Redis was emptied, and may be filled again. */
  async function* follow(reader: Redis, signal: AbortSignal): AsyncGenerator<NodeReport> {
    // First the place in the stream, then everything: what comes between is given twice rather than never.
    let seen = await lastEntry()
    const held = await readEvery()
    yield* readable(held)
    while (!signal.aborted) {
      const news = await reader.xread('COUNT', 1_000, 'BLOCK', BLOCK_MS, 'STREAMS', REPORT_STREAM_KEY, seen)
      const entries = news?.[0]?.[1] ?? []
      if (entries.length === 0) {
        if (isBefore(await lastEntry(), seen)) return
        continue
      }
      seen = entries.at(-1)![0]
      const latest = new Map<string, ReportFields>()
      const unknown = new Set<string>()
      for (const [, [, node = '', , since, ...list]] of entries) {
        const news = { since: since ?? '', fields: unflatten(list) }
        const fields = since === undefined ? null : applyNews(held.get(node), news)
        // Later news cannot be put on top of what was not understood.
        if (fields === null) held.delete(node)
        else held.set(node, fields)
        if (fields === null) unknown.add(node)
        else {
          unknown.delete(node)
          latest.set(node, fields)
        }
      }
      for (const [node, fields] of await readOf([...unknown])) {
        held.set(node, fields)
        latest.set(node, fields)
      }
      yield* readable(latest)
    }
  }

  async function* stream(signal: AbortSignal): AsyncGenerator<NodeReport> {
    while (!signal.aborted) {
      const reader = connection.openBlocking(false)
      const stop = (): void => reader.disconnect()
      signal.addEventListener('abort', stop, { once: true })
      try {
        yield* follow(reader, signal)
      } catch (error) {
        if (signal.aborted) return
        connection.log.debug({ err: error }, 'reports interrupted')
        await delay(RETRY_MS, null, { signal }).catch(() => {})
      } finally {
        signal.removeEventListener('abort', stop)
        reader.disconnect()
      }
    }
  }

  return {
    async publish(report) {
      const turn = (turns.get(report.node) ?? Promise.resolve()).then(() => publishNext(report))
      turns.set(
        report.node,
        turn.catch(() => {}),
      )
      await turn
    },
    async readAll() {
      return new Map(readable(await readEvery()).map(report => [report.node, report]))
    },
    stream,
    async remove(node) {
      await connection.call(redis => answersOf(redis.multi().del(reportKey(node)).srem(REPORTERS_KEY, node)))
    },
  }
}

/** Ids of stream entries: ms since the epoch, a hyphen, a number. */
function isBefore(a: string, b: string): boolean {
  const [[aTime = 0, aNumber = 0] = [], [bTime = 0, bNumber = 0] = []] = [a, b].map(id =>
    id.split('-').map(Number),
  )
  return aTime < bTime || (aTime === bTime && aNumber < bNumber)
}
