import { canonicalJson } from '../../../schemas/digest.ts'
import type { Dataplane, OpenMap } from './dataplane.ts'
import { type Entries, readEntries } from './libbpf/maps.ts'
import { deleteKeys, writeEntries } from './map-entries.ts'

/**
 * Lists that rings name by number, all of a kind in one map. A list is never changed while a ring names it: a
 * ring that needs another one names another number, so that ring and list change together (rule 3).
 */

type Entry = readonly [key: Buffer, value: Buffer]

export interface ListCodec<Content> {
  readonly map: 'access_prefixes' | 'quic_servers'
  /** The entries of a list with this number. */
  encode(list: number, content: Content): readonly Entry[]
  listOf(key: Buffer): number
  /** From all of the entries of a list, in any order. Equal to what was encoded. */
  decode(entries: readonly Entry[]): Content
}

/** Numbers begin here: 0 is none. */
const FIRST = 1

/** What the map holds, by number. */
export function decodeLists<Content>(
  maps: Dataplane['maps'],
  codec: ListCodec<Content>,
  entries: Entries,
): ReadonlyMap<number, Content> {
  const lists = new Map<number, Entry[]>()
  for (const entry of eachEntry(entries, maps[codec.map])) {
    const list = codec.listOf(entry[0])
    const known = lists.get(list)
    if (known === undefined) lists.set(list, [entry])
    else known.push(entry)
  }
  return new Map([...lists].map(([list, entries]) => [list, codec.decode(entries)]))
}

/** Gives contents a number, new ones a new one. */
export interface ListWriter<Content> {
  numberOf(content: Content): number
  /** Before a ring that names it is installed. */
  commit(): Promise<void>
}

/** `named`: by rings. A list of nothing has no entry, and its number is taken all the same. */
export function createListWriter<Content>(
  maps: Dataplane['maps'],
  codec: ListCodec<Content>,
  { present, named }: { present: ReadonlyMap<number, Content>; named: ReadonlySet<number> },
): ListWriter<Content> {
  const numbers = new Map([...present].map(([list, content]) => [canonicalJson(content), list]))
  const taken = new Set([...present.keys(), ...named])
  let pending: { text: string; list: number; entries: readonly Entry[] }[] = []
  let next = FIRST
  return {
    numberOf(content) {
      const text = canonicalJson(content)
      const known = numbers.get(text)
      if (known !== undefined) return known
      while (taken.has(next)) next++
      const list = next++
      numbers.set(text, list)
      pending.push({ text, list, entries: codec.encode(list, content) })
      return list
    },
    async commit() {
      const fresh = pending
      pending = []
      try {
        await writeEntries(
          maps[codec.map],
          fresh.flatMap(({ entries }) => entries),
        )
      } catch (error) {
        for (const { text } of fresh) numbers.delete(text)
        throw error
      }
    },
  }
}

/** Lets go of the lists that no ring names. */
export async function dropLists<Content>(
  maps: Dataplane['maps'],
  codec: ListCodec<Content>,
  named: ReadonlySet<number>,
): Promise<void> {
  const { fd, info } = maps[codec.map]
  const entries = [...eachEntry(await readEntries(fd, info), maps[codec.map])]
  await deleteKeys(
    maps[codec.map],
    entries.map(([key]) => key).filter(key => !named.has(codec.listOf(key))),
  )
}

function* eachEntry({ count, keys, values }: Entries, { info }: OpenMap): Generator<Entry> {
  const { keySize, valueSize } = info
  for (let i = 0; i < count; i++) {
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)]
  }
}
