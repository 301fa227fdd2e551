import { hash } from 'node:crypto'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { RedisConnection } from './connection.ts'
import { EPOCH_KEY, LEADER_KEY } from './keys.ts'

/** A leader that has not renewed for this long may be replaced, ms. */
const LEASE_MS = 6_000

/**
 * The right to write what nodes want: held by one reconciler of a fleet at a time. Every holder has an epoch
 * higher than all before it, also over a lost Redis; what is written carries it, and Redis refuses what comes from
 * an earlier one: of two that both believe that they lead, one writes.
 */
export interface Lease {
  /** Null while another process leads, or none can because Redis is away. */
  epoch(): number | null
  /**
   * The same, of a process that was too busy to renew in time: it asks Redis, and still leads if nobody else has led
   * since. Null when that is so, or when Redis has lost the epoch: listeners are told.
   */
  confirm(): Promise<number | null>
  /** Told whenever this process begins or ceases to lead, and when its epoch is another: Redis lost the last. */
  onChange(listener: (leads: boolean) => void): void
  /** Lets go, so that another need not wait. */
  release(): Promise<void>
}

/**
 * Gives {epoch, holder}: of this process when it leads now, else of who does. Who led last and let the lease run out has
 * the same epoch again: had another led since, there would be a higher one.
 * KEYS: leader, epoch. ARGV: holder, the lease's length in ms, the clock in ms, the epoch that it had last (or '').
 */
const ACQUIRE = `
local epoch = tonumber(redis.call('GET', KEYS[2]) or '0')
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] and epoch > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return { string.format('%.0f', epoch), holder }
end
if holder and epoch > 0 then return { string.format('%.0f', epoch), holder } end
if epoch > 0 and epoch == tonumber(ARGV[4]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return { string.format('%.0f', epoch), ARGV[1] }
end
epoch = math.max(epoch, tonumber(ARGV[3])) + 1
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return { string.format('%.0f', epoch), ARGV[1] }
`

/** KEYS: leader. ARGV: holder. */
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`

export interface LeaseOptions {
  readonly connection: RedisConnection
  /** Unique to this process. */
  readonly holder: string
  /** ms since the epoch of clocks. */
  readonly now: () => number
  /** Not renewed for this long, it may be another's, ms; 6,000 when left out. */
  readonly length?: number
}

/** Asks for the lease, renews it, and asks again when it was lost, until released. */
export function holdLease({ connection, holder, now, length = LEASE_MS }: LeaseOptions): Lease {
  // Before Redis would give it to another the holder itself stops believing in it.
  const believed = (length * 5) / 6
  const listeners = new Set<(leads: boolean) => void>()
  let held: { epoch: number; until: number } | null = null
  /** Of the last time that this process led. */
  let last: number | null = null
  let leader: string | null = null
  let told: number | null = null

  const epoch = (): number | null => (held !== null && performance.now() < held.until ? held.epoch : null)

  function tell(): void {
    const current = epoch()
    if (current === told) return
    told = current
    connection.log.info(
      { epoch: current, leader },
      current === null ? 'standing by' : 'this reconciler leads',
    )
    for (const listener of listeners) listener(current !== null)
  }

  async function renew(): Promise<void> {
    // Of before the question: the answer may come late, also because this process was stopped meanwhile.
    const asked = performance.now()
    try {
      const [number, name] = (await connection.call(redis =>
        redis.eval(ACQUIRE, 2, LEADER_KEY, EPOCH_KEY, holder, length, now(), last ?? ''),
      )) as [string, string]
      if (name !== leader && name !== holder)
        connection.log.info({ leader: name }, 'another reconciler leads')
      leader = name
      if (name === holder) last = Number(number)
      held = name === holder ? { epoch: Number(number), until: asked + believed } : null
    } catch (error) {
      connection.log.debug({ err: error }, 'the lease could not be renewed')
    }
    tell()
  }

  const timer = setInterval(() => void renew(), length / 4)
  const stopAsking = connection.onReady(() => void renew())
  return {
    epoch,
    async confirm() {
      const before = told
      if (epoch() !== null || before === null) return epoch()
      await renew()
      return epoch() === before ? before : null
    },
    onChange(listener) {
      listeners.add(listener)
    },
    async release() {
      clearInterval(timer)
      stopAsking()
      held = null
      told = null
      await connection.call(redis => redis.eval(RELEASE, 1, LEADER_KEY, holder)).catch(() => {})
    },
  }
}

/** The epoch of who writes. Throws `NOT_LEADING` when this process does not lead. */
export type Fence = () => Promise<number>

export const createFence =
  (lease: Pick<Lease, 'confirm'>): Fence =>
  async () =>
    (await lease.confirm()) ?? refuse('this reconciler does not lead')

/** KEYS: …, epoch. ARGV: …, the writer's epoch. */
const CHECK_EPOCH = `if redis.call('GET', KEYS[#KEYS]) ~= ARGV[#ARGV] then return 'FENCED' end\n`

export interface FencedScript {
  readonly connection: RedisConnection
  /** Absent: not checked; for tools and tests that write beside no reconciler. */
  readonly fence: Fence | undefined
  readonly script: string
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
}

/** Runs a script that writes, if the writer still leads. Throws `NOT_LEADING`. */
export async function evalFenced({ connection, fence, script, keys, args }: FencedScript): Promise<unknown> {
  const guard = fence === undefined ? null : await fence()
  const [allKeys, allArgs] =
    guard === null
      ? [keys, args]
      : [
          [...keys, EPOCH_KEY],
          [...args, guard],
        ]
  const source = guard === null ? script : CHECK_EPOCH + script
  const answer = await connection.call(redis =>
    // Redis keeps the scripts that it has seen, until it starts again.
    redis.evalsha(sha1(source), allKeys.length, ...allKeys, ...allArgs).catch((error: Error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error
      return redis.eval(source, allKeys.length, ...allKeys, ...allArgs)
    }),
  )
  if (answer === 'FENCED') refuse('another reconciler leads by now, or Redis was emptied')
  return answer
}

const sha1 = (text: string): string => hash('sha1', text)

function refuse(message: string): never {
  throw new BallastError({
    code: 'NOT_LEADING',
    message,
    hint: 'Nothing was written. The one that leads does it; this one stands by.',
    retryable: true,
  })
}
