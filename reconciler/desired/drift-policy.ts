import type { DriftAction, DriftPolicy, DriftRule } from '../../schemas/drift-policy.ts'
import type { ActionWritten } from '../../schemas/manifest/drift.ts'
import type { Fleet } from '../../schemas/manifest/fleet.ts'
import type { Node } from '../../schemas/manifest/node.ts'
import type { Service } from '../../schemas/manifest/service.ts'
import type { BgpRow, RowKey, Table } from '../../schemas/node-state.ts'

/**
 * A Service's rule comes before the Node's, and that before the Fleet's; of each, that of the kind before the rest. Of a
 * route that several Services announce, what waits longest counts: `hold`, then the longest `repairAfter`.
 */
export interface DriftPolicies {
  /** `names`: the Service of each row of the node. Null: the Fleet's `drift` says all. */
  of(node: Node, names: Readonly<Record<RowKey, string>>, bgp: Table<BgpRow>): DriftPolicy | null
}

type Written = Pick<Service['spec'], 'drift' | 'driftByKind'>

export function readDriftPolicies(fleet: Fleet, services: readonly Service[]): DriftPolicies {
  const own = new Map(
    services.flatMap(({ metadata, spec }) => (isEmpty(spec) ? [] : [[metadata.name, spec] as const])),
  )
  return {
    of(node, names, bgp) {
      const isPlain = typeof fleet.spec.drift === 'string' && fleet.spec.driftByKind === undefined
      if (isPlain && isEmpty(node.spec) && own.size === 0) return null
      const base: DriftRule = join(join({ all: 'repair', kinds: {} }, fleet.spec), node.spec)
      const rows: Record<RowKey, DriftRule> = {}
      if (own.size > 0) {
        for (const [key, name] of Object.entries(names)) {
          const written = own.get(name)
          if (written !== undefined) rows[key] = join(base, written)
        }
        for (const row of Object.values(bgp)) {
          if (row.kind !== 'condition' || !row.services.some(({ key }) => rows[key] !== undefined)) continue
          rows[`route/${row.prefix}`] = row.services.map(({ key }) => rows[key] ?? base).reduce(moreReserved)
        }
      }
      return { node: base, rows }
    },
  }
}

const isEmpty = ({ drift, driftByKind }: Written): boolean => drift === undefined && driftByKind === undefined

/** What is said nearer to the row counts: also a general word of it before a kind that was named further away. */
function join(outer: DriftRule, { drift, driftByKind }: Written): DriftRule {
  const own = Object.entries(driftByKind ?? {}).map(([kind, action]) => [kind, read(action)] as const)
  const kinds = { ...(drift === undefined && outer.kinds), ...Object.fromEntries(own) }
  return { all: drift === undefined ? outer.all : read(drift), kinds }
}

function moreReserved(a: DriftRule, b: DriftRule): DriftRule {
  const kinds = Object.keys({ ...a.kinds, ...b.kinds }) as (keyof DriftRule['kinds'])[]
  return {
    all: longer(a.all, b.all),
    kinds: Object.fromEntries(
      kinds.map(kind => [kind, longer(a.kinds[kind] ?? a.all, b.kinds[kind] ?? b.all)]),
    ),
  }
}

const longer = (a: DriftAction, b: DriftAction): DriftAction => (waitOf(b) > waitOf(a) ? b : a)

/** ms until it is put right. */
function waitOf(action: DriftAction): number {
  if (action === 'repair') return 0
  return action === 'hold' ? Number.POSITIVE_INFINITY : action.repairAfter
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

function read(action: ActionWritten): DriftAction {
  if (typeof action === 'string') return action
  const { repairAfter } = action
  return { repairAfter: Number(repairAfter.slice(0, -1)) * UNITS[repairAfter.slice(-1)]! }
}
