import { isDeepStrictEqual } from 'node:util'
import type { DriftRecord } from '../../schemas/drift-record.ts'
import { driftPath } from './drift-path.ts'

/**
 * What the branch of drift says, and what it should say next. Everything in it can be read back from the branch, so
 * that a restart or another reconciler goes on where the last one was. A path stands for one thing that drifts; it drifts in
 * episodes, from `since` to `healedAt`. Times in ms since the epoch.
 */
export type DriftHistory = ReadonlyMap<string, Told>

/** What was told of one path. */
export interface Told {
  /** As its file says; null: it has none. */
  readonly open: DriftRecord | null
  /** All that began or healed up to then is told. */
  readonly until: number
  /** When the last commit about it was made. */
  readonly at: number
  /** How many commits about it, after each other's heels, began a new episode: it flaps, and is told of ever less often. */
  readonly streak: number
}

/**
 * One thing that a commit says. `opened`: drift is there, and its file is written. `changed`: it is another one than the file said.
 * `healed`: it is gone, and so is its file. `passed`: it was there and is gone, both told at once; there was no file.
 */
export interface DriftChange {
  readonly event: 'opened' | 'changed' | 'healed' | 'passed'
  readonly path: string
  /** The last episode that is told. */
  readonly record: DriftRecord
  /** Episodes that are told. */
  readonly count: number
  /** When the first of them began. */
  readonly first: number
  /** What they were, in the order in which each was first seen: a row may be changed now and missing later. */
  readonly kinds: readonly DriftRecord['kind'][]
  readonly told: Told
}

export interface HistoryInput {
  readonly history: DriftHistory
  /** All that nodes report now: what is open, and what healed lately. */
  readonly records: readonly DriftRecord[]
  /** Whether what is not among the records of the node is gone: it reported, or it has left the fleet. */
  readonly isKnown: (node: string) => boolean
  readonly now: number
  /** Drift that heals sooner is told once, when it has healed, ms. */
  readonly commitAfter: number
}

export interface NextChanges {
  /** For one commit; sorted by path. */
  readonly changes: readonly DriftChange[]
  /** When to ask again though nothing new was reported; null: no need. */
  readonly dueAt: number | null
}

/** An episode so soon after the last commit about its path continues a streak, ms. */
const STREAK_WITHIN_MS = 60_000
/** What flaps is told of this often at least, ms. */
const LONGEST_SILENCE_MS = 3_600_000
const LONGEST_STREAK = 8

export function nextChanges(input: HistoryInput): NextChanges {
  const episodes = Map.groupBy(input.records, driftPath)
  const paths = new Set([...episodes.keys(), ...input.history.keys()])
  const changes: DriftChange[] = []
  let dueAt: number | null = null
  for (const path of [...paths].sort()) {
    const found = nextOf(path, episodes.get(path) ?? [], input)
    if (found === null) continue
    if (found.due <= input.now) changes.push(found.change)
    else dueAt = Math.min(dueAt ?? found.due, found.due)
  }
  return { changes, dueAt }
}

export function applyChanges(history: DriftHistory, changes: readonly DriftChange[]): DriftHistory {
  return new Map([...history, ...changes.map(({ path, told }) => [path, told] as const)])
}

interface Due {
  readonly due: number
  readonly change: DriftChange
}

const NOTHING_TOLD: Told = {
  open: null,
  until: Number.NEGATIVE_INFINITY,
  at: Number.NEGATIVE_INFINITY,
  streak: 0,
}

function nextOf(path: string, reported: readonly DriftRecord[], input: HistoryInput): Due | null {
  const told = input.history.get(path) ?? NOTHING_TOLD
  const episodes = reported.toSorted((a, b) => a.since - b.since || lastOf(a) - lastOf(b))
  return told.open === null
    ? nextOfClosed(path, told, episodes, input)
    : nextOfOpen(path, told, told.open, episodes, input)
}

/** There is no file of it. */
function nextOfClosed(
  path: string,
  told: Told,
  episodes: readonly DriftRecord[],
  input: HistoryInput,
): Due | null {
  // What is there needs its file, also when somebody removed it.
  const fresh = episodes.filter(each => each.healedAt === null || lastOf(each) > told.until)
  const last = fresh.at(-1)
  if (last === undefined) return null
  const healed = fresh.filter(({ healedAt }) => healedAt !== null)
  const quiet = quietFor(told, fresh[0]!.since, input)
  const streak = quiet > 0 ? told.streak + 1 : 0
  const opens = last.healedAt === null
  if (quiet > 0) {
    const event = opens ? 'opened' : 'passed'
    return { due: dueAfter(told, last, quiet), change: make(path, told, event, fresh, streak, input.now) }
  }
  const isLasting = opens && (healed.length === 0 || input.now - last.since >= input.commitAfter)
  if (isLasting) {
    const change = make(path, told, 'opened', fresh, streak, input.now)
    return { due: last.since + input.commitAfter, change }
  }
  // What began anew may yet pass; what passed before it is told.
  return { due: input.now, change: make(path, told, 'passed', healed, streak, input.now) }
}

/** Its file says that `open` is there. */
function nextOfOpen(
  path: string,
  told: Told,
  open: DriftRecord,
  episodes: readonly DriftRecord[],
  input: HistoryInput,
): Due | null {
  const { now } = input
  const since = episodes.filter(each => each.since >= open.since)
  const newer = since.filter(each => each.since > open.since)
  const own = since.find(each => each.since === open.since)
  const goesOn = own ?? (newer.length === 1 ? newer[0] : undefined)
  if (goesOn === since.at(-1)) {
    if (goesOn === undefined && !input.isKnown(open.node)) return null
    // A worker that was started anew has forgotten since when.
    const record = { ...(goesOn ?? { ...open, healedAt: Math.max(now, open.since) }), since: open.since }
    if (record.healedAt !== null) {
      return { due: now, change: make(path, told, 'healed', [record], told.streak, now) }
    }
    if (isSame(record, open)) return null
    const quiet = quietFor({ ...told, streak: told.streak + 1 }, now, input)
    const streak = quiet > 0 ? told.streak + 1 : 0
    return { due: told.at + quiet, change: make(path, told, 'changed', [record], streak, now) }
  }
  const last = newer.at(-1)!
  const quiet = quietFor({ ...told, streak: told.streak + 1 }, newer[0]!.since, input)
  const event = last.healedAt === null ? 'changed' : 'healed'
  const all = own === undefined ? newer : [own, ...newer]
  const streak = quiet > 0 ? told.streak + 1 : 0
  return { due: dueAfter(told, last, quiet), change: make(path, told, event, all, streak, now) }
}

const dueAfter = (told: Told, last: DriftRecord, quiet: number): number =>
  Math.min(lastOf(last) + quiet, told.at + LONGEST_SILENCE_MS)

/** Without what follows from the rest, or is told elsewhere. */
function isSame(a: DriftRecord, b: DriftRecord): boolean {
  const bare = { revision: null, service: null, effect: null }
  return isDeepStrictEqual({ ...a, ...bare }, { ...b, ...bare })
}

/** How long it must have been as it is before it is told, ms: twice as long with each commit of a streak; 0 outside of one. */
function quietFor({ at, streak }: Told, since: number, { commitAfter }: HistoryInput): number {
  const quiet = commitAfter * 2 ** Math.min(streak, LONGEST_STREAK)
  return since - at < Math.max(STREAK_WITHIN_MS, 4 * quiet) ? quiet : 0
}

/** When it last began or healed. */
const lastOf = ({ since, healedAt }: DriftRecord): number => healedAt ?? since

function make(
  path: string,
  { until }: Told,
  event: DriftChange['event'],
  episodes: readonly DriftRecord[],
  streak: number,
  at: number,
): DriftChange {
  const record = episodes.at(-1)!
  return {
    event,
    path,
    record,
    count: episodes.length,
    first: episodes[0]!.since,
    kinds: [...new Set(episodes.map(({ kind }) => kind))],
    told: {
      open: record.healedAt === null ? record : null,
      until: Math.max(until, lastOf(record)),
      at,
      streak,
    },
  }
}
