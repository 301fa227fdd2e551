import type { DriftAction, DriftPolicy } from '../../schemas/drift-policy.ts'
import { DriverName, type NodeTables } from '../../schemas/node-state.ts'
import type { DriftItem } from '../../schemas/report.ts'

/** `<driver> <key>` of rows. */
type RowName = string

export const rowName = ({ driver, key }: Pick<DriftItem, 'driver' | 'key'>): RowName => `${driver} ${key}`

/** What a node has repaired lately, and what it has given up. Times in ms since the epoch. */
export interface Fights {
  readonly repairs: ReadonlyMap<RowName, readonly number[]>
  /** Somebody else changes these again and again; left alone until there is a new want, or they are right. */
  readonly given: ReadonlySet<RowName>
}

export const NO_FIGHTS: Fights = { repairs: new Map(), given: new Set() }

/** So many repairs of one row in so many ms are a fight. */
export const FIGHT = { repairs: 5, within: 600_000 }

/** Rows were put right by us. */
export function noteRepaired(fights: Fights, items: readonly DriftItem[], now: number): Fights {
  const repairs = new Map<RowName, readonly number[]>()
  const recent = [...fights.repairs, ...items.map(item => [rowName(item), [now]] as const)]
  for (const [name, times] of recent) {
    const kept = [...(repairs.get(name) ?? []), ...times].filter(time => now - time < FIGHT.within)
    if (kept.length > 0) repairs.set(name, kept)
  }
  return { ...fights, repairs }
}

export interface RepairInput {
  /** What is there now. */
  readonly open: readonly DriftItem[]
  readonly policy: DriftPolicy
  readonly fights: Fights
  readonly now: number
}

export interface RepairDecision {
  /** What is left as it is, and why; all else is repaired. */
  readonly held: ReadonlyMap<RowName, NonNullable<DriftItem['held']>>
  /** Some of it is only left until it has lasted long enough. */
  readonly isWaiting: boolean
  readonly fights: Fights
}

/** What a node does about its drift. A row that it has put right too often is left to whoever changes it. */
export function decideRepair({ open, policy, fights, now }: RepairInput): RepairDecision {
  const held = new Map<RowName, NonNullable<DriftItem['held']>>()
  const given = new Set<RowName>()
  let isWaiting = false
  for (const item of open) {
    const name = rowName(item)
    const action = actionOf(item, policy)
    const recent = (fights.repairs.get(name) ?? []).filter(time => now - time < FIGHT.within)
    if (action === 'hold') held.set(name, 'policy')
    else if (action !== 'repair' && now - item.since < action.repairAfter) {
      held.set(name, 'policy')
      isWaiting = true
    } else if (fights.given.has(name) || recent.length >= FIGHT.repairs) {
      held.set(name, 'fight')
      given.add(name)
    }
  }
  return { held, isWaiting, fights: { ...fights, given } }
}

function actionOf({ key, kind }: DriftItem, { node, rows }: DriftPolicy): DriftAction {
  const rule = rows[key] ?? node
  return rule.kinds[kind] ?? rule.all
}

/** What to make of the node: all as wanted, but for the rows that are left as they are. */
export function leaveHeld(
  wanted: NodeTables,
  observed: NodeTables,
  held: RepairDecision['held'],
): NodeTables {
  if (held.size === 0) return wanted
  const next: { [D in DriverName]: Record<string, unknown> } = { ...wanted }
  for (const name of held.keys()) {
    const [driver, key] = [
      DriverName.parse(name.slice(0, name.indexOf(' '))),
      name.slice(name.indexOf(' ') + 1),
    ]
    const table = next[driver] === wanted[driver] ? { ...wanted[driver] } : next[driver]
    const row = observed[driver][key]
    if (row === undefined) delete table[key]
    else Object.assign(table, { [key]: row })
    next[driver] = table
  }
  return next as NodeTables
}
