import { setTimeout as delay } from 'node:timers/promises'
import { NodeReport } from '../../schemas/report.ts'
import { answersOf, type Redis, type RedisConnection } from './connection.ts'
import { decode } from './decode.ts'
import { REPORT_STREAM_KEY, REPORTERS_KEY, reportKey } from './keys.ts'

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

/** The stream holds names and no reports, so that many entries are small, and a reader that is late misses nothing. */
const STREAM_LENGTH = 10_000
/** ms that a read waits for news. */
const BLOCK_MS = 5_000
const RETRY_MS = 250

export function createReports(connection: RedisConnection): Reports {
  async function readOf(nodes: readonly string[]): Promise<NodeReport[]> {
    if (nodes.length === 0) return []
    const texts = await connection.call(redis => redis.mget(nodes.map(reportKey)))
    return nodes.flatMap((node, index) => {
      const text = texts[index] ?? null
      if (text === null) return []
      try {
        return [decode(NodeReport, reportKey(node), text)]
      } catch (error) {
        connection.log.warn({ node, err: error }, 'a report cannot be read')
        return []
      }
    })
  }

  const readEvery = async (): Promise<NodeReport[]> =>
    readOf(await connection.call(redis => redis.smembers(REPORTERS_KEY)))

  const lastEntry = async (): Promise<string> => {
    const entries = await connection.call(redis => redis.xrevrange(REPORT_STREAM_KEY, '+', '-', 'COUNT', 1))
    return entries[0]?.[0] ?? '0-0'
  }

  /** Ends when entries that were seen are there no more: Redis was emptied, and may be filled again. */
  async function* follow(reader: Redis, signal: AbortSignal): AsyncGenerator<NodeReport> {
    // First the place in the stream, then everything: what comes between is given twice rather than never.
    let seen = await lastEntry()
    yield* await readEvery()
    while (!signal.aborted) {
      const news = await reader.xread('COUNT', 1_000, 'BLOCK', BLOCK_MS, 'STREAMS', REPORT_STREAM_KEY, seen)
      const entries = news?.[0]?.[1] ?? []
      if (entries.length === 0) {
        if (isBefore(await lastEntry(), seen)) return
        continue
      }
      seen = entries.at(-1)![0]
      yield* await readOf([...new Set(entries.map(([, fields]) => fields[1]!))])
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
      const { node } = report
      const text = JSON.stringify(NodeReport.parse(report))
      await connection.call(redis =>
        answersOf(
          redis
            .multi()
            .set(reportKey(node), text)
            .sadd(REPORTERS_KEY, node)
            .xadd(REPORT_STREAM_KEY, 'MAXLEN', '~', STREAM_LENGTH, '*', 'node', node),
        ),
      )
    },
    async readAll() {
      return new Map((await readEvery()).map(report => [report.node, report]))
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
