import { z } from 'zod'
import { BallastError } from '../../schemas/ballast-error.ts'
import { sha256 } from '../../schemas/digest.ts'
import type { NodeState } from '../../schemas/node-state.ts'
import type { PackedChange } from '../../schemas/tables-change.ts'
import type { Digest } from '../../schemas/want.ts'
import { createBreather } from '../process/breather.ts'
import { readRow, stepAssembly } from './assemble-state.ts'
import { answersOf, type RedisConnection } from './connection.ts'
import { LEADER_KEY, STATE_KEYS, stateKey } from './keys.ts'
import { evalFenced, type Fence } from './lease.ts'
import { packChange } from './pack-change.ts'
import {
  BLOB_KINDS,
  type Blob,
  type BlobRef,
  blobChildren,
  blobEntries,
  changeState,
  createTreeMemo,
  entryOf,
  findRead,
  type StateTree,
  stateTree,
} from './state-tree.ts'

/**
 * States of nodes in Redis, in parts by their digest, so that what is the same is there once and a push
 * moves what changed. One process writes; any number read.
 */
export interface StateStore {
  /** Writes the parts that are not there yet; calls made together share the work. Gives what a want's `stateDigest` is. */
  put(state: NodeState): Promise<Digest>
  /**
   * Fetches the parts that neither `have` nor a state that was read before has, and checks their digests. Null when a
   * part is missing (the writer will put it again). Throws `STATE_CORRUPT`; `STATE_UNREADABLE` when a newer Ballast wrote it.
   */
  get(digest: Digest, have?: NodeState | null): Promise<NodeState | null>
  /** What a state that was put changes in the one that was put for its node before; null: that is not known. */
  lastChange(state: NodeState): PackedChange | null
  /** Without a question to Redis; null: what comes of the change is not the state of that digest. */
  change(have: NodeState, packed: PackedChange, digest: Digest): NodeState | null
  /** Deletes every part that none of these states needs; gives how many. Deletes nothing when it cannot read. */
  prune(keep: readonly Digest[]): Promise<number>
}

interface Put {
  readonly node: string
  readonly tree: StateTree
}

/** Parts that one call asks for or writes; keeps each call well within its deadline. */
const CHUNK = 500
/** All that a node needs would be megabytes of text at once, which the garbage collector then carries about. */
const READ_AT_ONCE = 64

/** ARGV: how many of KEYS to delete. */
const UNLINK = "for at = 1, tonumber(ARGV[1]) do redis.call('UNLINK', KEYS[at]) end"

/** KEYS: any of ours, so that a Cluster looks where ours are. ARGV: the cursor, the pattern, about how many. */
const SCAN = "return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])"

export function createStateStore(connection: RedisConnection, fence?: Fence): StateStore {
  const memo = createTreeMemo()
  /** Node → the state that this process gave Redis last. */
  const lastTrees = new Map<string, StateTree>()
  /** Node → what was put last, written or not: most of the next one is the same. */
  const lastStates = new Map<string, NodeState>()
  /** Of any node: what a new one has is mostly what others have. */
  let lastState: NodeState | null = null
  /** The same change comes for one node after the other. */
  let lastPacked: { key: string; packed: PackedChange | null } | null = null
  /** Node → in which connection its state was last looked at in every part. */
  const checked = new Map<string, number>()
  let last: Promise<unknown> = Promise.resolve()
  let lastGet: Promise<unknown> = Promise.resolve()
  let waiting: Put[] = []
  let batch: Promise<void> | null = null
  let connections = 0
  connection.onReady(() => {
    connections++
  })

  /** Pruning beside a put could delete a part that the put has just found to be there. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }

  async function findMissing(blobs: readonly Blob[]): Promise<Blob[]> {
    const found = await inChunks(blobs, part =>
      connection.call(redis => {
        const pipeline = redis.pipeline()
        for (const { kind, digest } of part) pipeline.exists(stateKey(kind, digest))
        return answersOf(pipeline)
      }),
    )
    return blobs.filter((_, index) => found[index] !== 1)
  }

  async function write(blobs: readonly Blob[]): Promise<void> {
    await inChunks(blobs, part =>
      connection.call(redis => {
        const pipeline = redis.pipeline()
        for (const { kind, digest, text } of part) pipeline.set(stateKey(kind, digest), text)
        return answersOf(pipeline)
      }),
    )
  }

  const read = (refs: readonly BlobRef[]): Promise<(string | null)[]> =>
    inChunks(refs, part =>
      connection.call(redis => redis.mget(part.map(({ kind, digest }) => stateKey(kind, digest)))),
    )

  /**
   * What is below a part that is there is there too: parts are written from the rows up, and pruned from the
   * root down. All the same, a node's first state after a connection is looked at in every part.
   */
  async function putAll(puts: readonly Put[]): Promise<void> {
    const connected = connections
    const isKnown = puts.every(({ node }) => checked.get(node) === connected && lastTrees.has(node))
    if (!isKnown) await putThoroughly(puts, connected)
    else if (!(await putDifferences(puts))) {
      // Redis has lost something: nothing is taken for granted any more.
      checked.clear()
      return await putAll(puts)
    }
    for (const { node, tree } of puts) {
      checked.set(node, connected)
      lastTrees.set(node, tree)
    }
    // Redis was away meanwhile, and may have come back with less than it had.
    if (connected !== connections) await putAll(puts)
  }

  /** Level by level: what is missing is entered, and of nodes that are not known whatever is there too. */
  async function putThoroughly(puts: readonly Put[], connected: number): Promise<void> {
    const levels: Blob[][] = []
    const unchecked = puts.filter(({ node }) => checked.get(node) !== connected)
    const thorough = new Set(unchecked.map(({ tree }) => tree.digest))
    for (let level: Blob[] = distinct(puts.map(({ tree }) => tree)); level.length > 0; ) {
      const missing = new Set(await findMissing(level))
      levels.unshift([...missing])
      const entered = level.filter(blob => missing.has(blob) || thorough.has(blob.digest))
      for (const { digest, children } of entered) {
        if (thorough.has(digest)) for (const child of children) thorough.add(child.digest)
      }
      level = distinct(entered.flatMap(({ children }) => children))
    }
    for (const level of levels) await write(level)
  }

  /**
   * One round trip: parts that the last states of these nodes had not are written, and those beside them that they had
   * are asked for. False when one of these is not there.
   */
  async function putDifferences(puts: readonly Put[]): Promise<boolean> {
    const before = distinct(puts.map(({ node }) => lastTrees.get(node)!))
    const { added, kept } = compareTrees(before, distinct(puts.map(({ tree }) => tree)))
    const skipped = findSkipped(puts)
    const asked = kept.filter(({ digest }) => !skipped.has(digest))
    const parts = [
      ...asked.map(blob => ({ blob, isAsked: true })),
      ...added.map(blob => ({ blob, isAsked: false })),
    ]
    const answers = await inChunks(parts, some =>
      connection.call(redis => {
        const pipeline = redis.pipeline()
        for (const { blob, isAsked } of some) {
          const key = stateKey(blob.kind, blob.digest)
          if (isAsked) pipeline.exists(key)
          else pipeline.set(key, blob.text)
        }
        return answersOf(pipeline)
      }),
    )
    return asked.every((_, index) => answers[index] === 1)
  }

  /** Rows of nodes' own are not asked for at every push, but for those of one node. */
  function findSkipped(puts: readonly Put[]): ReadonlySet<Digest> {
    const [probed, ...others] = puts
    const skipped = new Set(others.flatMap(({ tree }) => Array.from(tree.own.values(), row => row.digest)))
    for (const { digest } of probed?.tree.own.values() ?? []) skipped.delete(digest)
    return skipped
  }

  async function put(state: NodeState): Promise<Digest> {
    const tree = stateTree(state, memo, lastStates.get(state.node) ?? lastState)
    lastStates.set(state.node, state)
    lastState = state
    waiting.push({ node: state.node, tree })
    batch ??= inTurn(async () => {
      const puts = waiting
      waiting = []
      batch = null
      await putAll(puts)
    })
    await batch
    return tree.digest
  }

  function lastChange(state: NodeState): PackedChange | null {
    const unpacked = memo.changes.get(state)
    if (unpacked === undefined) return null
    const key = JSON.stringify(unpacked)
    if (lastPacked?.key !== key) lastPacked = { key, packed: packChange(unpacked) }
    return lastPacked.packed
  }

  async function get(digest: Digest, have: NodeState | null = null): Promise<NodeState | null> {
    const base = have === null ? undefined : stateTree(have, memo)
    if (base?.digest === digest) return have
    const result = lastGet.then(() => assemble(digest, { have, base }))
    lastGet = result.catch(() => {})
    return await result
  }

  /** One node after the other: what the first one reads the others need not. */
  async function assemble(
    digest: Digest,
    { have, base }: { have: NodeState | null; base: StateTree | undefined },
  ): Promise<NodeState | null> {
    const texts = new Map<Digest, string>()
    const known = new Map<Digest, Blob>()
    const breathe = createBreather()
    const readPart = ({ name, ref, at }: WantedPart): WantedPart[] => {
      const text = texts.get(ref.digest)!
      // Here, in slices, and not all at once in what is assembled.
      if (ref.kind === 'row') readRow(name, { digest: ref.digest, text }, memo)
      return blobEntries(ref.kind, text).flatMap(([key, below]) => {
        const its = entryOf(at, key)
        if (its?.digest === below.digest || texts.has(below.digest)) return []
        const read = known.get(below.digest) ?? findRead(below, memo)
        if (read === undefined) return [{ name: key, ref: below, at: its }]
        known.set(below.digest, read)
        return []
      })
    }
    let level: WantedPart[] = [{ name: '', ref: { kind: 'root', digest }, at: base }]
    while (level.length > 0) {
      const next: WantedPart[] = []
      for await (const { parts, text } of readAhead(level)) {
        const { ref } = parts[0]!
        if (text === null) return null
        if (sha256(text) !== ref.digest) throw corrupt(ref)
        texts.set(ref.digest, text)
        for (const part of parts) {
          await breathe()
          next.push(...readable(digest, () => readPart(part)))
        }
      }
      level = next
    }
    const steps = stepAssembly(digest, { texts, known }, { memo, have })
    for (;;) {
      await breathe()
      const { done, value } = readable(digest, () => steps.next())
      if (done === true) return value
    }
  }

  /** Of parts with the same text, it is read once. While some are looked at, the next ones are on their way. */
  async function* readAhead(level: readonly WantedPart[]) {
    const groups = [...Map.groupBy(level, ({ ref }) => `${ref.kind} ${ref.digest}`).values()]
    const readFrom = (at: number): Promise<(string | null)[]> => {
      const texts = read(groups.slice(at, at + READ_AT_ONCE).map(parts => parts[0]!.ref))
      // Looked at below, in its turn.
      texts.catch(() => {})
      return texts
    }
    let coming = readFrom(0)
    for (let at = 0; at < groups.length; at += READ_AT_ONCE) {
      const texts = await coming
      if (at + READ_AT_ONCE < groups.length) coming = readFrom(at + READ_AT_ONCE)
      for (const [index, text] of texts.entries()) yield { parts: groups[at + index]!, text }
    }
  }

  async function prune(keep: readonly Digest[]): Promise<number> {
    const kept = new Set<string>()
    for (let level = keep.map((digest): BlobRef => ({ kind: 'root', digest })); level.length > 0; ) {
      for (const { kind, digest } of level) kept.add(stateKey(kind, digest))
      const parents = level.filter(({ kind }) => kind !== 'row')
      const texts = await read(parents)
      level = distinct(
        parents.flatMap(({ kind }, index) => {
          const text = texts[index] ?? null
          return text === null
            ? []
            : readable(stateKey(kind, parents[index]!.digest), () => blobChildren(kind, text))
        }),
      )
    }
    for (const [node, { digest }] of lastTrees) {
      if (!kept.has(stateKey('root', digest))) lastTrees.delete(node)
    }
    const unreachable = (await scanKeys(connection)).filter(key => !kept.has(key))
    for (const kind of BLOB_KINDS) {
      const keys = unreachable.filter(key => key.startsWith(stateKey(kind, '')))
      await inChunks(keys, async part => {
        await evalFenced({ connection, fence, script: UNLINK, keys: part, args: [part.length] })
        return []
      })
    }
    return unreachable.length
  }

  return {
    put,
    get,
    lastChange,
    change: (have, packed, digest) => changeState(have, { packed, digest }, memo),
    prune: keep => inTurn(() => prune(keep)),
  }
}

/** A part that is not known yet, under its name in the part above it. */
interface WantedPart {
  readonly name: string
  readonly ref: BlobRef
  /** What the state that there is has in its place. */
  readonly at: Blob | undefined
}

/**
 * Parts of trees that none of those before has, from the rows up; and those beside them, or roots themselves, that one
 * of those before has too.
 */
function compareTrees(before: readonly Blob[], after: readonly Blob[]): { added: Blob[]; kept: Blob[] } {
  const levels: Blob[][] = []
  const kept: Blob[] = []
  for (let [was, is] = [before, after]; is.length > 0; ) {
    const [had, has] = [new Set(was.map(({ digest }) => digest)), new Set(is.map(({ digest }) => digest))]
    const added = is.filter(({ digest }) => !had.has(digest))
    kept.push(...is.filter(({ digest }) => had.has(digest)))
    levels.unshift(added)
    was = distinct(was.filter(({ digest }) => !has.has(digest)).flatMap(({ children }) => children))
    is = distinct(added.flatMap(({ children }) => children))
  }
  return { added: levels.flat(), kept }
}

async function scanKeys(connection: RedisConnection): Promise<string[]> {
  // A scan may give a key more than once.
  const keys = new Set<string>()
  let cursor = '0'
  do {
    const [next, found] = (await connection.call(redis =>
      redis.eval(SCAN, 1, LEADER_KEY, cursor, STATE_KEYS, 1_000),
    )) as [string, string[]]
    for (const key of found) keys.add(key)
    cursor = next
  } while (cursor !== '0')
  return [...keys]
}

async function inChunks<T, R>(items: readonly T[], work: (part: T[]) => Promise<R[]>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += CHUNK) results.push(...(await work(items.slice(at, at + CHUNK))))
  return results
}

const distinct = <Ref extends BlobRef>(refs: readonly Ref[]): Ref[] => [
  ...new Map(refs.map(ref => [`${ref.kind} ${ref.digest}`, ref])).values(),
]

const corrupt = ({ kind, digest }: BlobRef): BallastError =>
  new BallastError({
    code: 'STATE_CORRUPT',
    message: `Redis holds something else under ${stateKey(kind, digest)} than was written there`,
    hint: 'Delete that key; the reconciler writes it again when it starts.',
  })

function readable<T>(what: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause).replaceAll('\n', ' ') : String(cause)
    throw new BallastError({
      code: 'STATE_UNREADABLE',
      message: `the state ${what} is not one that this version of Ballast can read: ${why}`,
      hint: 'Run the same version of Ballast everywhere.',
      cause,
    })
  }
}
