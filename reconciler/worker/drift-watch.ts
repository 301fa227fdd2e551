import type { DriftPolicy, Pause } from '../../schemas/drift-policy.ts'
import type { DriftItem, HealedBy } from '../../schemas/report.ts'
import type { Want } from '../../schemas/want.ts'
import { trackDrift } from '../drift/find-drift.ts'
import {
  decideRepair,
  NO_FIGHTS,
  noteRepaired,
  type RepairDecision,
  rowName,
} from '../drift/repair-decision.ts'
import type { Log } from '../log/log.ts'

export interface DriftWatchOptions {
  readonly log: Log
  readonly now: () => number
  /** Who else writes to a row's table, as far as it can be known; null: nobody can be named. */
  readonly findWriter: (item: DriftItem) => Promise<string | null>
}

export interface Noticed extends Pick<RepairDecision, 'held' | 'isWaiting'> {
  /** All of it, as it is reported. */
  readonly drift: readonly DriftItem[]
}

/** What a node remembers of its drift: what it says of it, and what it leaves alone. */
export interface DriftWatch {
  notice(
    known: readonly DriftItem[],
    found: readonly DriftItem[],
    want: Want,
    pause: Pause | null,
  ): Promise<Noticed>
  /** All is right but `left`. */
  settle(known: readonly DriftItem[], left: readonly DriftItem[], healedBy: HealedBy): readonly DriftItem[]
  /** There is a new want: what was given up is tried again. */
  forget(): void
}

export function createDriftWatch({ log, now, findWriter }: DriftWatchOptions): DriftWatch {
  let fights = NO_FIGHTS

  const policyOf = ({ drift, driftPolicy }: Want): DriftPolicy =>
    driftPolicy ?? { node: { all: drift, kinds: {} }, rows: {} }

  async function mark(
    item: DriftItem,
    held: DriftItem['held'],
    before: DriftItem | undefined,
  ): Promise<DriftItem> {
    if (held === undefined) return item
    if (held !== 'fight') return { ...item, held }
    if (before?.held === 'fight')
      return { ...item, held, ...(before.writer !== undefined && { writer: before.writer }) }
    const writer = await findWriter(item).catch(() => null)
    log.error(
      { driver: item.driver, key: item.key, writer },
      'somebody changes this again and again; it is not repaired any more before there is a new want',
    )
    return { ...item, held, ...(writer !== null && { writer }) }
  }

  return {
    async notice(known, found, want, pause) {
      const before = new Map(known.filter(isOpen).map(item => [rowName(item), item]))
      for (const item of found.filter(each => !before.has(rowName(each)))) {
        const { driver, key, kind, desired, observed } = item
        log.warn({ driver, key, kind, desired, observed }, 'drift')
      }
      const tracked = trackDrift(known, found, now())
      const open = tracked.filter(isOpen)
      const decision = decideRepair({ open, policy: policyOf(want), fights, now: now() })
      fights = decision.fights
      const held =
        pause === null ? decision.held : new Map(open.map(item => [rowName(item), 'pause' as const]))
      const drift: DriftItem[] = []
      for (const item of tracked) {
        const name = rowName(item)
        drift.push(isOpen(item) ? await mark(item, held.get(name), before.get(name)) : item)
      }
      return { drift, held, isWaiting: decision.isWaiting }
    },

    settle(known, left, healedBy) {
      const names = new Set(left.map(rowName))
      const healed = known.filter(item => isOpen(item) && !names.has(rowName(item)))
      for (const item of healed) {
        log.info(
          { key: item.key, driver: item.driver, healedBy, afterMs: now() - item.since },
          'drift healed',
        )
      }
      if (healedBy === 'repair') fights = noteRepaired(fights, healed, now())
      return trackDrift(known, left, now(), healedBy)
    },

    forget() {
      fights = NO_FIGHTS
    },
  }
}

const isOpen = ({ healedAt }: DriftItem): boolean => healedAt === null
