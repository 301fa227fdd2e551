import { setTimeout as delay } from 'node:timers/promises'
import { type JobsOptions, Queue, Worker } from 'bullmq'
import { answersOf, type RedisConnection } from './connection.ts'
import { callChannel, KEY_PREFIX, wakeQueue } from './keys.ts'
import { type Offer, readOffer } from './offer.ts'

/**
 * Wake-ups: whoever listens is called at once (`listenForCalls`), by who publishes its want or by `wakeAll`; for a node
 * that nobody listens for, a job waits in its queue of BullMQ, which costs 3,000 bytes. What is wanted stands in
 * `want:<node>`, so that a wake-up lost, doubled or late does no harm.
 */

export interface Waker {
  /** Wakes the node's worker, or lets it find the wake-up when it comes. */
  wake(node: string, generation: number): Promise<void>
  /** Wakes all of them, though it may fail for some; then it throws what the first failed with. */
  wakeAll(nodes: readonly string[], generation: number): Promise<void>
  close(): Promise<void>
}

/** Of wake-ups that nobody has taken; one says as much as a hundred. */
const MAX_WAITING = 10

const WAKE = 'wake'
const CALLS_AT_ONCE = 500
const JOBS_AT_ONCE = 32

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

  /** Gives those that nobody heard. */
  async function call(nodes: readonly string[], generation: number): Promise<string[]> {
    const heard: unknown[] = []
    for (let at = 0; at < nodes.length; at += CALLS_AT_ONCE) {
      const answers = await connection.call(redis => {
        const pipeline = redis.pipeline()
        for (const node of nodes.slice(at, at + CALLS_AT_ONCE))
          pipeline.publish(callChannel(node), String(generation))
        return answersOf(pipeline)
      })
      heard.push(...answers)
    }
    return nodes.filter((_, index) => heard[index] === 0)
  }

  async function enqueue(node: string, generation: number): Promise<void> {
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
  }

  async function wakeAll(nodes: readonly string[], generation: number): Promise<void> {
    const left = await call(nodes, generation)
    for (let at = 0; at < left.length; at += JOBS_AT_ONCE) {
      const jobs = left.slice(at, at + JOBS_AT_ONCE).map(node => enqueue(node, generation))
      const failed = (await Promise.allSettled(jobs)).find(({ status }) => status === 'rejected')
      if (failed?.status === 'rejected') throw failed.reason
    }
  }

  return {
    wakeAll,
    wake: (node, generation) => wakeAll([node], generation),
    async close() {
      await Promise.allSettled([...queues.values()].map(queue => queue.close()))
      queues.clear()
    },
  }
}

/**
 * Calls back whenever the node is called, and when the connection is back after it was lost; calls meanwhile are
 * lost, or wait as jobs. The offer is null when only the generation was told, or nothing that can be read.
 */
export function listenForCalls({ connection, node, onWake }: CallListenerOptions): { close(): void } {
  const redis = connection.openBlocking(true)
  const wake = (generation: number, offer: Offer | null): void => {
    onWake(generation, offer).catch((error: unknown) =>
      connection.log.warn({ node, err: error }, 'wake-up failed'),
    )
  }
  redis.on('message', (_channel: string, text: string) => {
    const offer = readOffer(text)
    wake(offer?.want.generation ?? (Number(text) || 0), offer)
  })
  redis.on('ready', () => {
    redis.subscribe(callChannel(node)).then(
      () => wake(0, null),
      (error: unknown) => connection.log.debug({ node, err: error }, 'calls are not heard; jobs are'),
    )
  })
  return { close: () => redis.disconnect() }
}

interface CallListenerOptions {
  readonly connection: RedisConnection
  readonly node: string
  readonly onWake: (generation: number, offer: Offer | null) => Promise<void>
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
      // Of a wait that ends without a job; one that comes ends it at once.
      drainDelay: 10,
      lockDuration: 10_000,
      stalledInterval: 5_000,
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
