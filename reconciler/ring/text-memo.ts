/**
 * `make`, which remembers what it made of up to `kept` texts, and then begins anew. In many small parts: a `Map` of tens of
 * thousands that grows copies itself for tens of milliseconds, in which nothing else runs.
 */
export function createTextMemo<Value>(kept: number, make: (text: string) => Value): (text: string) => Value {
  const parts = Array.from({ length: PARTS }, () => new Map<string, Value>())
  let size = 0
  return text => {
    const part = parts[hashText(text) & (PARTS - 1)]!
    const known = part.get(text)
    if (known !== undefined) return known
    const value = make(text)
    if (size >= kept) {
      for (const each of parts) each.clear()
      size = 0
    }
    part.set(text, value)
    size++
    return value
  }
}

const PARTS = 4096

/** 32 bits, by FNV-1a (Fowler, Noll, Vo). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 16)) >>> 0
}
