import { DriverName, type NodeTables } from '../../schemas/node-state.ts'
import type { DriftItem, HealedBy } from '../../schemas/report.ts'
import { diffNode } from '../plan/diff.ts'

/** Drift that has healed is kept in reports for this long, ms. */
export const HEALED_KEPT_MS = 3_600_000
/** Of what healed before these it is only told what it was of: rows may be large. */
const HEALED_WHOLE = 100
const HEALED_KEPT = 10_000
/** Times of one row that are told one by one. */
const EARLIER_KEPT = 1_000

const KINDS = { create: 'missing', update: 'changed', delete: 'unexpected' } as const

/** What differs from what is wanted, by the same diff that apply uses. */
export function findDrift(desired: NodeTables, observed: NodeTables, now: number): DriftItem[] {
  const edits = diffNode(desired, observed)
  return DriverName.options.flatMap(driver =>
    edits[driver].map(edit => ({
      driver,
      key: edit.key,
      kind: KINDS[edit.op],
      desired: edit.op === 'delete' ? null : edit.after,
      observed: edit.op === 'create' ? null : edit.before,
      since: now,
      healedAt: null,
    })),
  )
}

/**
 * Joins what was known with what is found now: an open item keeps its `since`, one that is gone is healed, old healed ones are forgotten. Open
 * items first, then healed ones, newest first; those of one row and kind are one item.
 */
export function trackDrift(
  known: readonly DriftItem[],
  found: readonly DriftItem[],
  now: number,
  healedBy: HealedBy = 'others',
): DriftItem[] {
  const open = new Map(known.filter(isOpen).map(item => [identity(item), item]))
  const still = found.map(item => {
    const before = open.get(identity(item))
    open.delete(identity(item))
    return before === undefined ? item : { ...item, since: before.since }
  })
  const earlier = new Map(known.filter(item => !isOpen(item)).map(item => [identity(item), item]))
  const healed = [...open].map(([name, item]): DriftItem => {
    const before = earlier.get(name)
    earlier.delete(name)
    const times = before === undefined ? [] : timesOf(before).slice(0, EARLIER_KEPT)
    return { ...item, healedAt: now, healedBy, ...(times.length > 0 && { earlier: times }) }
  })
  const kept = [...healed, ...earlier.values()]
    .flatMap(item => forgetOld(item, now) ?? [])
    .slice(0, HEALED_KEPT)
  return [...still, ...kept.map((item, at) => (at < HEALED_WHOLE ? item : withoutRows(item)))]
}

/** One for each time that it was there; what they are of is known of the last. */
export function episodesOf({ earlier = [], ...item }: DriftItem): DriftItem[] {
  return [item, ...earlier.map(time => ({ ...item, ...time }))]
}

type Time = NonNullable<DriftItem['earlier']>[number]

const timesOf = ({ since, healedAt, healedBy, earlier = [] }: DriftItem): Time[] => [
  { since, healedAt: healedAt!, ...(healedBy !== undefined && { healedBy }) },
  ...earlier,
]

/** Null: all of it is old. */
function forgetOld(item: DriftItem, now: number): DriftItem | null {
  const isYoung = (healedAt: number): boolean => now - healedAt < HEALED_KEPT_MS
  if (!isYoung(item.healedAt!)) return null
  if (item.earlier === undefined || isYoung(item.earlier.at(-1)!.healedAt)) return item
  const { earlier, ...rest } = item
  const left = earlier.filter(({ healedAt }) => isYoung(healedAt))
  return left.length === 0 ? rest : { ...rest, earlier: left }
}

const withoutRows = (item: DriftItem): DriftItem =>
  item.desired === null && item.observed === null ? item : { ...item, desired: null, observed: null }

const isOpen = ({ healedAt }: DriftItem): boolean => healedAt === null
const identity = (item: DriftItem): string => `${item.driver} ${item.key} ${item.kind}`
