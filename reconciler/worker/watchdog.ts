import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log/log.ts'
import { readLastGood } from './last-good-file.ts'

export interface WatchdogOptions {
  /** What the worker keeps on disk; `alive` is touched at every look that it takes. */
  readonly lastGoodFile: string
  readonly aliveFile: string
  /** ms without a sign of the worker after which nothing is announced; 0: whatever happens to the worker. */
  readonly withdrawAfter: number
  /** Interfaces whose packets go through the node's program. May throw, which says nothing. */
  readonly readAttached: () => readonly string[]
  readonly announce: (on: boolean) => Promise<void>
  readonly bootId: string
  /** ms between two looks. */
  readonly interval: number
  readonly log: Log
  readonly now: () => number
  readonly signal: AbortSignal
}

/** Of looks that agree, before anything is done. */
const LOOKS = 2
const RELOAD_MS = 1000

/**
 * Takes the node's announcements away while it would lead packets into nothing: when an interface that Git wants has
 * lost the program, with or without a worker. It knows neither Redis nor Git, and changes no table. Ends by the signal,
 * and leaves announcements as they are then.
 */
export async function runWatchdog(options: WatchdogOptions): Promise<void> {
  const { lastGoodFile, log, now, signal } = options
  let expected: readonly string[] = []
  let stamp: string | null = null
  let loadedAt = Number.NEGATIVE_INFINITY
  /** Null: not known, since an earlier watchdog may have switched. */
  let isOff: boolean | null = null
  let seen: boolean | null = null
  let agreeing = 0

  async function findFault(): Promise<string | null> {
    if (now() - loadedAt >= RELOAD_MS) {
      const read = await stampOf(lastGoodFile)
      if (read !== stamp) expected = await readExpected(options)
      stamp = read
      loadedAt = now()
    }
    const attached = new Set(expected.length === 0 ? [] : options.readAttached())
    const lost = expected.filter(name => !attached.has(name))
    if (lost.length > 0) return `the program is not attached to ${lost.join(', ')}`
    if (options.withdrawAfter === 0) return null
    const silent = now() - (await lastSign(options.aliveFile))
    return silent > options.withdrawAfter ? `the worker gave no sign for ${Math.round(silent)} ms` : null
  }

  while (!signal.aborted) {
    try {
      const fault = await findFault()
      const shouldBeOff = fault !== null
      agreeing = shouldBeOff === seen ? agreeing + 1 : 1
      seen = shouldBeOff
      if (agreeing >= LOOKS && shouldBeOff !== isOff) {
        await options.announce(!shouldBeOff)
        const was = isOff
        isOff = shouldBeOff
        if (isOff) log.error({ fault }, 'nothing is announced any more')
        else if (was === true) log.info({}, 'announced again')
      }
    } catch (error) {
      log.warn({ err: error }, 'the watchdog could not look or act; trying again')
      await delay(RELOAD_MS, undefined, { signal }).catch(() => {})
    }
    await delay(options.interval, undefined, { signal }).catch(() => {})
  }
}

/** Another one when the file, or what was written after it, changed: a great state takes long to read. */
async function stampOf(file: string): Promise<string> {
  const names = (await readdir(dirname(file))).filter(name => name.startsWith(basename(file))).sort()
  const stats = await Promise.all(names.map(name => stat(join(dirname(file), name)).catch(() => null)))
  return JSON.stringify(names.map((name, index) => [name, stats[index]?.mtimeMs, stats[index]?.size]))
}

/** The interfaces that Git wants, once they were there; none before that, and none where the file is of another version. */
async function readExpected({ lastGoodFile, bootId }: WatchdogOptions): Promise<string[]> {
  const lastGood = await readLastGood(lastGoodFile).catch(() => null)
  if (lastGood === null || lastGood.appliedInBoot !== bootId) return []
  return Object.values(lastGood.state.tables.xdp).flatMap(row => (row.kind === 'interface' ? [row.name] : []))
}

/** ms since the epoch; 0: there never was one. */
const lastSign = async (file: string): Promise<number> => (await stat(file).catch(() => null))?.mtimeMs ?? 0
