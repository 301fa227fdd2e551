import type { RowKey, Table } from './node-state.ts'

/** Rows that are new or differ, and keys of those that are gone. */
export interface TableChange<Row> {
  readonly put: Readonly<Record<RowKey, Row>>
  readonly removed: readonly RowKey[]
}

interface Origin {
  /** What it was made of; null once it was joined, so that it holds nothing of the past. */
  before: Table<unknown> | null
  /** The same, for as long as somebody else holds it. */
  readonly link: WeakRef<Table<unknown>>
  readonly put: Readonly<Record<RowKey, unknown>>
  readonly removed: ReadonlySet<RowKey>
  /** How many tables stand one behind the other. */
  readonly depth: number
  /** What it is then. */
  readonly target: Record<RowKey, unknown>
}

const origins = new WeakMap<Table<unknown>, Origin>()

/** Larger changes are made at once, and are looked at as any other table. */
const SMALL = 64
/** A row that did not change is looked for in so many tables at most. */
const DEEPEST = 32

/**
 * The table with some rows changed, which costs what changed: the rest is read from the table before until somebody goes
 * over all of it. Both must not be changed afterwards; that is refused for the one that is given.
 */
export function changeTable<Row>(before: Table<Row>, { put, removed }: TableChange<Row>): Table<Row> {
  const keys = Object.keys(put)
  if (keys.length + removed.length === 0) return before
  const origin: Origin = {
    before,
    link: new WeakRef(before),
    put,
    removed: new Set(removed),
    depth: (depthOf(before) ?? 0) + 1,
    target: {},
  }
  const isLarge = keys.length + removed.length > SMALL
  if (isLarge) join(origin)
  const table = isLarge ? (origin.target as Table<Row>) : lateTable<Row>(origin)
  origins.set(table, origin)
  if (origin.depth > DEEPEST) join(origin)
  return table
}

const depthOf = (table: Table<unknown>): number | undefined => {
  const origin = origins.get(table)
  return origin?.before == null ? undefined : origin.depth
}

function lateTable<Row>(origin: Origin): Table<Row> {
  const { target, put, removed } = origin
  const joined = (): object => {
    join(origin)
    return target
  }
  return new Proxy(target, {
    get(_, key) {
      if (origin.before === null || typeof key !== 'string') return Reflect.get(target, key)
      if (removed.has(key)) return undefined
      return Object.hasOwn(put, key) ? put[key] : origin.before[key]
    },
    has: (_, key) => Reflect.has(joined(), key),
    ownKeys: () => Reflect.ownKeys(joined()),
    getOwnPropertyDescriptor: (_, key) => Reflect.getOwnPropertyDescriptor(joined(), key),
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
  }) as Table<Row>
}

/** In one go, however many tables stand behind it. */
function join(origin: Origin): void {
  if (origin.before === null) return
  const steps: Origin[] = []
  let base: Table<unknown> = origin.before
  for (let step = origins.get(base); step !== undefined; step = origins.get(base)) {
    if (step.before === null) {
      base = step.target
      break
    }
    steps.push(step)
    base = step.before
  }
  Object.assign(origin.target, base)
  for (const { put, removed } of [...steps.reverse(), origin]) {
    Object.assign(origin.target, put)
    for (const key of removed) delete origin.target[key]
  }
  origin.before = null
}

/** A table, and those that it was made of in small changes, each with the keys that may differ since. Ends where nobody knows more. */
export function* historyOf<Row>(
  table: Table<Row>,
): Generator<readonly [before: Table<Row>, changed: ReadonlySet<RowKey>]> {
  const changed = new Set<RowKey>()
  let at: Table<Row> | undefined = table
  for (let steps = 0; at !== undefined && steps <= DEEPEST; steps++) {
    yield [at, changed]
    const origin: Origin | undefined = origins.get(at)
    if (origin === undefined) return
    for (const key of Object.keys(origin.put)) changed.add(key)
    for (const key of origin.removed) changed.add(key)
    if (changed.size > SMALL) return
    at = origin.link.deref() as Table<Row> | undefined
  }
}

/** Keys of the rows that may differ between a table and one that it was made of; null: nobody knows. */
export function changedKeys<Row>(before: Table<Row>, after: Table<Row>): ReadonlySet<RowKey> | null {
  for (const [table, changed] of historyOf(after)) if (table === before) return changed
  return null
}
