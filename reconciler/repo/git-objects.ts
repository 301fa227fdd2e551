import { BallastError } from '../../schemas/ballast-error.ts'
import type { Program } from '../process/run-command.ts'
import { createByteReader } from './byte-reader.ts'
import { type GitPlace, startGit } from './git-command.ts'

interface ObjectInfo {
  readonly oid: string
  readonly type: string
  readonly size: number
}

/**
 * One `git cat-file` process that answers many questions. Its sizes come without unpacking anything. Throws
 * `OBJECT_MISSING`, `OBJECT_UNREADABLE`, `GIT_FAILED`.
 */
export interface GitObjects extends Objects {
  close(): Promise<void>
}

/** Reads objects by id, in the order that they are asked for. */
export interface Objects {
  /** Bytes, unpacked. */
  sizes(oids: readonly string[]): Promise<number[]>
  /** Id of a revision's tree; null when there is no such commit. */
  treeOf(revision: string): Promise<string | null>
  readTrees(oids: readonly string[]): Promise<TreeEntry[][]>
  readBlobs(oids: readonly string[]): Promise<Uint8Array[]>
  /** gitformat-commit: headers, an empty line, the message. */
  readCommits(oids: readonly string[]): Promise<Uint8Array[]>
}

/** One entry of a tree object. */
export interface TreeEntry {
  readonly kind: 'file' | 'folder' | 'symlink' | 'submodule'
  /** Without what is above it; U+FFFD stands for bytes that are not UTF-8. */
  readonly name: string
  readonly oid: string
}

/** ms without an answer after which git is given up. */
const SILENCE_MS = 30_000

/**
 * Reads everything that git itself can: alternates, SHA-256, packs of any size. Finds what was packed
 * anew, or came, while it runs.
 */
export async function openGitObjects(place: GitPlace): Promise<GitObjects> {
  const git = await startGit(place, ['cat-file', '--batch-command', '--buffer'])
  const reader = createByteReader(git.stdout!)
  let last: Promise<unknown> = Promise.resolve()
  let asking = 0
  // A program of one command ends when it has its answers.
  git.unref()

  /** One batch at a time: answers come in the order of the questions. */
  function ask<T>(command: 'info' | 'contents', names: readonly string[], take: TakeAnswer<T>): Promise<T[]> {
    const answers = last.then(async () => {
      if (names.length === 0) return []
      if (asking++ === 0) git.ref()
      git.stdin!.write(`${names.map(name => `${command} ${name}\n`).join('')}flush\n`)
      return withTimeLimit(git, place, async () => {
        const taken: T[] = []
        const faults: BallastError[] = []
        for (const name of names) {
          const answer = await take(name, await reader.line())
          if (answer instanceof BallastError) faults.push(answer)
          else taken.push(answer)
        }
        // Only now: the next questions must not find answers that were left over.
        if (faults.length > 0) throw faults[0]!
        return taken
      }).finally(() => {
        if (--asking === 0) git.unref()
      })
    })
    last = answers.catch(() => {})
    return answers
  }

  const contents = (oids: readonly string[], type: string): Promise<Uint8Array[]> =>
    ask('contents', oids, async (oid, header) => {
      const info = parseHeader(header)
      if (info === null) return objectMissing(place, oid)
      const bytes = await reader.bytes(info.size)
      await reader.bytes(1)
      if (info.type !== type) return objectUnreadable(place, oid, `it is a ${info.type} and not a ${type}`)
      return bytes
    })

  return {
    sizes: oids =>
      ask('info', oids, async (oid, header) => {
        const info = parseHeader(header)
        return info === null ? objectMissing(place, oid) : info.size
      }),
    async treeOf(revision) {
      const [info] = await ask('info', [`${revision}^{tree}`], async (_name, header) => parseHeader(header))
      return info?.oid ?? null
    },
    readBlobs: oids => contents(oids, 'blob'),
    readCommits: oids => contents(oids, 'commit'),
    async readTrees(oids) {
      const trees = await contents(oids, 'tree')
      return trees.map((bytes, index) => {
        const oid = oids[index]!
        const entries = parseTree(bytes, oid.length / 2)
        if (entries === null) throw objectUnreadable(place, oid, 'it is a malformed tree')
        return entries
      })
    },
    async close() {
      // A program whose output nobody reads never counts as ended.
      await Promise.all([git.stop(), reader.drain()])
    },
  }
}

/** Takes the whole answer, also when it is not what was asked for. */
type TakeAnswer<T> = (name: string, header: string) => Promise<T | BallastError>

/** `<id> <type> <size>`, or `<name> missing`. */
function parseHeader(line: string): ObjectInfo | null {
  const match = /^([0-9a-f]{40,64}) ([a-z]+) (\d+)$/.exec(line)
  return match === null ? null : { oid: match[1]!, type: match[2]!, size: Number(match[3]) }
}

/** `<mode> SP <name> NUL <id>`, again and again. Null when it is not: git hands out what was pushed, unchecked. */
export function parseTree(bytes: Uint8Array, idLength: number): TreeEntry[] | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entries: TreeEntry[] = []
  for (let at = 0; at < buffer.length; ) {
    const space = buffer.indexOf(0x20, at)
    const end = space < 0 ? -1 : buffer.indexOf(0, space)
    const next = end + 1 + idLength
    if (space < 0 || end < 0 || next > buffer.length) return null
    entries.push({
      kind: entryKind(buffer.toString('latin1', at, space)),
      name: buffer.toString('utf8', space + 1, end),
      oid: buffer.toString('hex', end + 1, next),
    })
    at = next
  }
  return entries
}

/** Of a tree entry's mode, in octal (gitformat-index(5) lists them). */
function entryKind(mode: string): TreeEntry['kind'] {
  switch (mode.replace(/^0/, '')) {
    case '40000':
      return 'folder'
    case '120000':
      return 'symlink'
    case '160000':
      return 'submodule'
    default:
      return 'file'
  }
}

async function withTimeLimit<T>(git: Program, place: GitPlace, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => void git.stop(), SILENCE_MS)
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof BallastError) throw cause
    throw new BallastError({
      code: 'GIT_FAILED',
      message: `git cat-file ended while it read ${place.dir}`,
      hint: 'Run `git fsck` there.',
      retryable: true,
      cause,
    })
  } finally {
    clearTimeout(timer)
  }
}

const objectMissing = ({ dir }: GitPlace, oid: string): BallastError =>
  new BallastError({
    code: 'OBJECT_MISSING',
    message: `${dir} lacks the object ${oid}`,
    hint: 'A shallow or partial clone lacks objects; use a full one. Else `git fsck` tells what is damaged.',
    retryable: true,
  })

const objectUnreadable = ({ dir }: GitPlace, oid: string, why: string): BallastError =>
  new BallastError({
    code: 'OBJECT_UNREADABLE',
    message: `the object ${oid} of ${dir} cannot be read: ${why}`,
    hint: 'Run `git fsck` there.',
  })
