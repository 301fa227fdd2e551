import { z } from 'zod'
import {
  describeDrift,
  describeEnd,
  describeHold,
  differingFields,
  renderDuration,
} from './describe-drift.ts'
import { parseDriftFile, renderDriftFile, renderTime } from './drift-file.ts'
import type { DriftChange, DriftHistory, Told } from './drift-history.ts'
import { driftPath } from './drift-path.ts'
import { nameDrift } from './name-drift.ts'

/** What a commit on the branch of drift does and says. */
export interface DriftCommit {
  /** Path → text; null: removed. */
  readonly files: ReadonlyMap<string, string | null>
  readonly message: string
  /** ms since the epoch. */
  readonly at: number
}

export interface CommitOptions {
  /** Ends the subject: `[skip ci]`; '' for nothing. */
  readonly suffix: string
  /** Of the reconciler that leads; null: there is but one. */
  readonly epoch: number | null
  readonly now: number
}

/** One line of JSON for each change (git-interpret-trailers(1)). */
const CHANGE_TRAILER = 'Ballast-Drift'
const EPOCH_TRAILER = 'Ballast-Epoch'

/** Told with all that differs; of more, one line each. */
const SHOWN = 20

/** The message is for people, its trailers for programs. There must be a change. */
export function composeCommit(changes: readonly DriftChange[], options: CommitOptions): DriftCommit {
  const { suffix, epoch, now } = options
  const files = new Map(
    changes.flatMap(({ event, path, told }): [string, string | null][] =>
      event === 'passed' ? [] : [[path, told.open === null ? null : renderDriftFile(told.open)]],
    ),
  )
  const trailers = [
    ...changes.map(change => `${CHANGE_TRAILER}: ${JSON.stringify(toTrailer(change))}`),
    ...(epoch === null ? [] : [`${EPOCH_TRAILER}: ${epoch}`]),
  ]
  const body = changes.map((change, index) => describeFully(change, index < SHOWN))
  const parts = [composeSubject(changes, suffix), body.join('\n\n'), trailers.join('\n')]
  return { files, message: `${parts.join('\n\n')}\n`, at: now }
}

function composeSubject(changes: readonly DriftChange[], suffix: string): string {
  const isHealing = changes.every(({ event }) => event === 'healed')
  const sentences = changes.slice(0, 1).map(describeShortly)
  if (changes.length > 1) sentences.push(`${changes.length - 1} more`)
  const subject = `${isHealing ? 'drift healed' : 'drift'}: ${sentences.join(', and ')}`
  return suffix === '' ? subject : `${subject} ${suffix}`
}

/** `lb-2 lost backend 10.0.1.13 of web (31% of its flows), 37 times in 2 min, repaired after 0.4 s` */
function describeShortly({ record, count, first, kinds, event }: DriftChange): string {
  const others = kinds.filter(kind => kind !== record.kind)
  const also = others.length > 0 ? ` (also ${others.join(', ')})` : ''
  const often =
    count > 1 ? `${count} times in ${renderDuration((record.healedAt ?? record.since) - first)}${also}` : ''
  const end = describeEnd(record)
  const last = end === null ? (count > 1 ? 'and still so' : '') : count > 1 ? `last ${end}` : end
  const changed = event === 'changed' && count === 1 ? 'by now' : ''
  return oneLine([describeDrift(record), often, last, changed].filter(part => part !== '').join(', '))
}

function describeFully(change: DriftChange, withFields: boolean): string {
  const { record } = change
  const lines = [describeShortly(change)]
  if (!withFields) return lines.join('\n')
  const where = `${record.node} ${record.driver} ${record.key}, ${nameDrift(record)}`
  const at = record.revision === null ? '' : ` at revision ${record.revision.slice(0, 12)}`
  lines.push(`  ${where} since ${renderTime(record.since)}${at}`)
  if (record.healedAt !== null) lines.push(`  ${describeEnd(record)}, at ${renderTime(record.healedAt)}`)
  const hold = record.healedAt === null ? describeHold(record) : null
  if (hold !== null) lines.push(`  ${hold}`)
  for (const [field, desired, observed] of differingFields(record)) {
    lines.push(`  ${field}: wanted ${desired}, found ${observed}`)
  }
  return lines.map(oneLine).join('\n')
}

/** What a node reports must not look like a trailer. */
const oneLine = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, ' ')

const Time = z.iso.datetime()

const Trailer = z.object({
  event: z.enum(['opened', 'changed', 'healed', 'passed']),
  node: z.string(),
  driver: z.string(),
  key: z.string(),
  kind: z.string(),
  /** All that it was, `kind` among them; absent: that alone. */
  kinds: z.array(z.string()).exactOptional(),
  count: z.int().min(1),
  first: Time,
  since: Time,
  healedAt: Time.nullable(),
  /** 0 but for what flaps. */
  streak: z.int().min(0),
})
type Trailer = z.infer<typeof Trailer>

const toTrailer = ({ event, record, count, first, kinds, told }: DriftChange): Trailer => ({
  event,
  node: record.node,
  driver: record.driver,
  key: record.key,
  kind: record.kind,
  ...(kinds.length > 1 && { kinds: [...kinds] }),
  count,
  first: renderTime(first),
  since: renderTime(record.since),
  healedAt: record.healedAt === null ? null : renderTime(record.healedAt),
  streak: told.streak,
})

/** What the trailers of a message tell of each path; nothing for a message of somebody else. */
export function readTrailers(message: string): { readonly path: string; readonly trailer: Trailer }[] {
  return [...message.matchAll(/^Ballast-Drift: (\{.*\})$/gm)].flatMap(([, json = '']) => {
    const trailer = readTrailer(json)
    return trailer === null ? [] : [{ path: driftPath(trailer as Parameters<typeof driftPath>[0]), trailer }]
  })
}

function readTrailer(json: string): Trailer | null {
  try {
    return Trailer.safeParse(JSON.parse(json)).data ?? null
  } catch {
    return null
  }
}

/** The highest epoch that a commit was made in; null: none says. */
export function readEpoch(messages: readonly string[]): number | null {
  const epochs = messages.flatMap(message =>
    Array.from(message.matchAll(/^Ballast-Epoch: (\d+)$/gm), ([, epoch]) => Number(epoch)),
  )
  return epochs.length === 0 ? null : Math.max(...epochs)
}

/** What the branch holds. */
export interface BranchContent {
  /** Of the folder of drift. */
  readonly files: ReadonlyMap<string, string>
  /** Of the last commits, newest first; `at` in ms since the epoch. */
  readonly commits: readonly { readonly message: string; readonly at: number }[]
}

/** The history that made a branch what it is. */
export function readHistory({ files, commits }: BranchContent): DriftHistory {
  const history = new Map<string, Told>()
  for (const { message, at } of commits) {
    for (const { path, trailer } of readTrailers(message)) {
      // The newest is first.
      if (history.has(path)) continue
      const open = parseDriftFile(files.get(path) ?? '')
      history.set(path, {
        open,
        until: Date.parse(trailer.healedAt ?? trailer.since),
        at,
        streak: trailer.streak,
      })
    }
  }
  for (const [path, text] of files) {
    const open = history.has(path) ? null : parseDriftFile(text)
    if (open !== null && driftPath(open) === path)
      history.set(path, { open, until: open.since, at: open.since, streak: 0 })
  }
  return history
}

/** Whether all that a commit tells is told by others: nothing of it needs to be told again. */
export function isTold(message: string, others: readonly string[]): boolean {
  const until = new Map<string, number>()
  for (const { path, trailer } of others.flatMap(readTrailers)) {
    const last = Date.parse(trailer.healedAt ?? trailer.since)
    until.set(path, Math.max(until.get(path) ?? 0, last))
  }
  const own = readTrailers(message)
  return (
    own.length > 0 &&
    own.every(({ path, trailer }) => Date.parse(trailer.healedAt ?? trailer.since) <= (until.get(path) ?? 0))
  )
}
