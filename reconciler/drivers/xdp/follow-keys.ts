import { changedSince } from './changed-map.ts'

/** The keys of what is picked of a map; of a map that was made of the last one, only what changed is looked at. */
export function createKeyFollower<Key, Value>(picks: (value: Value, key: Key) => boolean) {
  let last: ReadonlyMap<Key, Value> | undefined
  let keys = new Set<Key>()
  return (map: ReadonlyMap<Key, Value>): ReadonlySet<Key> => {
    const changed = changedSince(last, map)
    if (changed === null) keys = new Set()
    for (const key of changed ?? map.keys()) {
      const value = map.get(key)
      if (value !== undefined && picks(value, key)) keys.add(key)
      else keys.delete(key)
    }
    last = map
    return keys
  }
}
