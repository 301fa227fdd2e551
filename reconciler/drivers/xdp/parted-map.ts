import { hashText } from '../../ring/text-memo.ts'

const PARTS = 64

/** In parts, of which maps that are made of one another share those that are the same. In no order. */
export class PartedMap<Key, Value> implements ReadonlyMap<Key, Value> {
  readonly size: number
  readonly #parts: readonly ReadonlyMap<Key, Value>[]

  private constructor(parts: readonly ReadonlyMap<Key, Value>[]) {
    this.#parts = parts
    this.size = parts.reduce((sum, part) => sum + part.size, 0)
  }

  static of<Key, Value>(map: ReadonlyMap<Key, Value>): PartedMap<Key, Value> {
    if (map instanceof PartedMap) return map as PartedMap<Key, Value>
    const parts = Array.from({ length: PARTS }, () => new Map<Key, Value>())
    map.forEach((value, key) => {
      parts[partOf(key)]!.set(key, value)
    })
    return new PartedMap(parts)
  }

  with(entries: Iterable<readonly [Key, Value | undefined]>): PartedMap<Key, Value> {
    const parts = [...this.#parts]
    for (const [at, changes] of Map.groupBy(entries, ([key]) => partOf(key))) {
      const part = new Map(parts[at])
      for (const [key, value] of changes) {
        if (value === undefined) part.delete(key)
        else part.set(key, value)
      }
      parts[at] = part
    }
    return new PartedMap(parts)
  }

  get(key: Key): Value | undefined {
    return this.#parts[partOf(key)]!.get(key)
  }

  has(key: Key): boolean {
    return this.#parts[partOf(key)]!.has(key)
  }

  forEach(visit: (value: Value, key: Key, map: ReadonlyMap<Key, Value>) => void): void {
    for (const part of this.#parts) {
      part.forEach((value, key) => {
        visit(value, key, this)
      })
    }
  }

  *entries(): Generator<[Key, Value], undefined> {
    for (const part of this.#parts) yield* part
  }

  *keys(): Generator<Key, undefined> {
    for (const part of this.#parts) yield* part.keys()
  }

  *values(): Generator<Value, undefined> {
    for (const part of this.#parts) yield* part.values()
  }

  [Symbol.iterator](): Generator<[Key, Value], undefined> {
    return this.entries()
  }
}

function partOf(key: unknown): number {
  return (typeof key === 'number' ? key : hashText(String(key))) & (PARTS - 1)
}
