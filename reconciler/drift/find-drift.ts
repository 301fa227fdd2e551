import { DriverName, type NodeTables } from '../../schemas/node-state.ts'
import type { DriftItem, HealedBy } from '../../schemas/report.ts'
import { diffNode } from '../plan/diff.ts'

/** Drift that has healed is kept in reports for this long, ms. */
const HEALED_KEPT_MS = 3_600_000
const HEALED_KEPT_COUNT = 100

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
 * Joins what was known with what is found now: an open item keeps its `since`, one that is gone is healed,
 * old healed ones are forgotten. Open items first, then healed ones, newest first.
 */
export function trackDrift(
  known: readonly DriftItem[],
  found: readonly DriftItem[],
  now: number,
  healedBy: HealedBy = 'others',
): DriftItem[] {
  const open = new Map(known.filter(item => item.healedAt === null).map(item => [identity(item), item]))
  const still = found.map(item => {
    const before = open.get(identity(item))
    open.delete(identity(item))
    return before === undefined ? item : { ...item, since: before.since }
  })
  const healed = [...open.values()].map(item => ({ ...item, healedAt: now, healedBy }))
  const earlier = known.filter(item => item.healedAt !== null && now - item.healedAt < HEALED_KEPT_MS)
  return [...still, ...[...healed, ...earlier].slice(0, HEALED_KEPT_COUNT)]
}

const identity = (item: DriftItem): string => `${item.driver} ${item.key} ${item.kind}`
