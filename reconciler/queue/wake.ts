import { setTimeout as delay } from 'node:timers/promises'
import { type JobsOptions, Queue, Worker } from 'bullmq'
import type { RedisConnection } from './connection.ts'
import { KEY_PREFIX, wakeQueue } from './keys.ts'

/**
 * Wake-ups through BullMQ: one queue per node, a job carries nothing that anyone may trust but "look". What
 * is wanted stands in `want:<node>`, so that a wake-up lost, doubled or late does no harm.
 */

export interface Waker {
  /** Wakes the node's worker, or lets it find the wake-up when it comes. */
  wake(node: string, generation: number): Promise<void>
  close(): Promise<void>
}

/** Of wake-ups that nobody has taken; one says as much as a hundred. */
const MAX_WAITING = 10

const WAKE = 'wake'

export function createWaker(connection: RedisConnection): Waker {
  const queues = new Map<string, Queue>()

  function open(node: string, redis: Parameters<Parameters<RedisConnection['call']>[0]>[0]): Queue {
    const found = queues.get(node)
    if (found !== undefined) return found
    const queue = new Queue(wakeQueue(node), {
      connection: redis,
      prefix: KEY_PREFIX,
      // Nobody reads BullMQ's own events.
      streams: { events: { maxLen: 10 } },
    })
    // What fails, fails the call as well.
    queue.on('error', () => {})
    queues.set(node, queue)
    return queue
  }

  return {
    async wake(node, generation) {
      // Kept after it ended, a job would swallow a later one of its id; ids may be neither integers nor hold a colon.
      const options: JobsOptions = { jobId: `g${generation}`, removeOnComplete: true, removeOnFail: true }
      try {
        await connection.call(async redis => {
          const queue = open(node, redis)
          if ((await queue.getWaitingCount()) >= MAX_WAITING) await queue.drain()
          await queue.add(WAKE, { generation }, options)
        })
      } catch (error) {
        // A queue that failed while it was set up stays failed.
        queues
          .get(node)
          ?.close()
          .catch(() => {})
        queues.delete(node)
        throw error
      }
    },
    async close() {
      await Promise.allSettled([...queues.values()].map(queue => queue.close()))
      queues.clear()
    },
  }
}

export interface WakeListenerOptions {
  readonly connection: RedisConnection
  readonly node: string
  /** One at a time. One that fails is not repeated by the queue. */
  readonly onWake: (generation: number) => Promise<void>
}

export interface WakeListener {
  /** Waits for a wake-up under way, at most `CLOSE_MS`. */
  close(): Promise<void>
}

const CLOSE_MS = 3_000

/**
 * After kill -9 in the middle of a wake-up the next listener gets it again within `lockDuration` and
 * `stalledInterval` (with BullMQ's own values it would take a minute).
 */
export async function listenForWakes({
  connection,
  node,
  onWake,
}: WakeListenerOptions): Promise<WakeListener> {
  const redis = connection.openBlocking(true)
  const worker = new Worker<{ generation: number }>(
    wakeQueue(node),
    async job => {
      await onWake(Number(job.id?.slice(1)))
    },
    {
      connection: redis,
      prefix: KEY_PREFIX,
      concurrency: 1,
      lockDuration: 5_000,
      stalledInterval: 2_000,
      // A wake-up is harmless however often it comes.
      maxStalledCount: 1_000,
      // After Redis was away; by default a quarter of a minute.
      runRetryDelay: 500,
    },
  )
  worker.on('error', error => connection.log.debug({ node, err: error }, 'wake-ups interrupted'))
  worker.on('failed', (_job, error) => connection.log.warn({ node, err: error }, 'wake-up failed'))

  /** Whether it settled in time. */
  async function inTime(work: Promise<unknown>): Promise<boolean> {
    const expiry = new AbortController()
    const late = delay(CLOSE_MS, false, { signal: expiry.signal }).catch(() => false)
    const done = work.then(
      () => true,
      () => true,
    )
    return await Promise.race([done, late]).finally(() => expiry.abort())
  }

  return {
    async close() {
      // Closing politely would wait for ever for a Redis that is away, or for a wake-up that never ends.
      if (redis.status === 'ready' && !(await inTime(worker.pause()))) {
        connection.log.debug({ node }, 'left a wake-up under way')
      }
      await inTime(worker.close(true))
      redis.disconnect()
    },
  }
}
