import { PartedMap } from './parted-map.ts'

/**
 * Maps of a thousand services are made at every look, and seldom differ much from those of the last: one that is made of
 * another knows which of its keys may differ. Such maps must not be changed afterwards.
 */
interface Origin {
  readonly before: WeakRef<object>
  readonly changed: ReadonlySet<unknown>
}

const origins = new WeakMap<object, Origin>()

/** The map with these entries, undefined for those that go; the same map when none of them differs. */
export function changeMap<Key, Value>(
  before: ReadonlyMap<Key, Value>,
  entries: Iterable<readonly [Key, Value | undefined]>,
): ReadonlyMap<Key, Value> {
  const differing = [...entries].filter(([key, value]) => before.get(key) !== value)
  if (differing.length === 0) return before
  const after = PartedMap.of(before).with(differing)
  origins.set(after, { before: new WeakRef(before), changed: new Set(differing.map(([key]) => key)) })
  return after
}

const NOTHING: ReadonlySet<never> = new Set()

/** Keys whose values may differ between a map and the next one; null: nobody knows. */
export function changedSince<Key, Value>(
  before: ReadonlyMap<Key, Value> | undefined,
  after: ReadonlyMap<Key, Value>,
): ReadonlySet<Key> | null {
  if (before === after) return NOTHING
  const origin = origins.get(after)
  return origin !== undefined && origin.before.deref() === before
    ? (origin.changed as ReadonlySet<Key>)
    : null
}
