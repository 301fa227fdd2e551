import { setTimeout as delay } from 'node:timers/promises'
import { createLoop } from '../../../process/loop.ts'
import { isNewNeighbour } from './is-new-neighbour.ts'

export interface FollowOptions {
  /** Makes next hops right. Link addresses as the packet path has them then, by backend; null: it has none. */
  readonly refresh: () => Promise<ReadonlyMap<string, string | null>>
  /** Lines of `ip -o monitor neigh`. */
  readonly watch: (signal: AbortSignal) => AsyncIterable<string>
  readonly onError: (error: unknown) => void
}

/** As often as a neighbour that vanished is asked for again by the kernel. */
const REFRESH_MS = 1_000
/** A neighbour that moves to and fro costs two runs of ip(8) so often at most. */
const DAMPING_MS = 500

/**
 * Refreshes every second, and at once when the kernel tells that packets to a backend should go elsewhere. It listens only
 * while link addresses matter to anybody: a network with thousands of neighbours has always something to tell.
 */
export function followNextHops({ refresh, watch, onError }: FollowOptions): { stop(): Promise<void> } {
  const ending = new AbortController()
  let known: ReadonlyMap<string, string | null> = new Map()
  let listening: { readonly end: AbortController; readonly ended: Promise<void> } | null = null

  async function listen(signal: AbortSignal): Promise<void> {
    for await (const line of watch(signal)) if (isNewNeighbour(line, known)) loop.trigger('neighbour')
  }

  async function silence(): Promise<void> {
    listening?.end.abort()
    await listening?.ended
    listening = null
  }

  const loop = createLoop(async reasons => {
    known = await refresh()
    if (known.size === 0) return silence()
    if (listening === null) {
      const end = new AbortController()
      listening = { end, ended: listen(end.signal).catch(onError) }
    }
    if (reasons.has('neighbour'))
      await delay(DAMPING_MS, undefined, { signal: ending.signal }).catch(() => {})
  }, onError)
  const timer = setInterval(() => loop.trigger('time'), REFRESH_MS)
  return {
    async stop() {
      clearInterval(timer)
      ending.abort()
      await loop.stop()
      await silence()
    },
  }
}
