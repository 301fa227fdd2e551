import { createHash, type Hash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { BallastError } from '../../schemas/ballast-error.ts'
import { sha256 } from '../../schemas/digest.ts'
import { LAST_GOOD_VERSION, LastGood, LastGoodChange } from '../../schemas/last-good.ts'
import { DriverName } from '../../schemas/node-state.ts'
import type { Digest } from '../../schemas/want.ts'
import { createBreather } from '../process/breather.ts'
import { applyChange, findChange } from './last-good-change.ts'

/**
 * Two files: the whole, and beside it a journal of what changed since, one line each with a checksum, so that what is
 * written for a push grows with what it changed. The journal's name has the whole's digest in it: another whole has
 * another journal. A line that is not whole is one that was being written when the power went: it never was.
 */
const journalOf = (file: string, digest: Digest): string => `${file}.${digest.slice(0, 16)}.journal`

/** Null when there is none yet. Throws `LAST_GOOD_UNREADABLE` for one that is not whole or of another version. */
export async function readLastGood(file: string): Promise<LastGood | null> {
  try {
    const text = await readIfThere(file)
    if (text === null) return null
    let lastGood = LastGood.parse(JSON.parse(text))
    for (const line of ((await readIfThere(journalOf(file, sha256(text)))) ?? '').split('\n')) {
      const json = line.slice(CHECKSUM + 1)
      if (line.slice(0, CHECKSUM) !== checksum(json)) break
      lastGood = applyChange(lastGood, LastGoodChange.parse(JSON.parse(json)))
    }
    return lastGood
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

/**
 * What can be told of a file that another version of Ballast wrote; null: it is of this version, or not there. Every
 * version keeps `version` and `want.generation` where they are.
 */
export async function findForeign(file: string): Promise<{ version: number; generation: number } | null> {
  try {
    const text = await readIfThere(file)
    if (text === null) return null
    const whole = Foreign.safeParse(JSON.parse(text))
    if (!whole.success || whole.data.version === LAST_GOOD_VERSION) return null
    const lines = ((await readIfThere(journalOf(file, sha256(text)))) ?? '').split('\n')
    const generations = lines.flatMap(line => {
      const json = line.slice(CHECKSUM + 1)
      if (line.slice(0, CHECKSUM) !== checksum(json)) return []
      const { data } = ForeignChange.safeParse(JSON.parse(json))
      return data === undefined ? [] : [data.want.generation]
    })
    return { version: whole.data.version, generation: Math.max(whole.data.want.generation, ...generations) }
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

const ForeignChange = z.object({ want: z.object({ generation: z.int() }) })
const Foreign = ForeignChange.extend({ version: z.int() })

export const describeForeign = (file: string, version: number): BallastError =>
  new BallastError({
    code: 'LAST_GOOD_OF_ANOTHER_VERSION',
    message: `the last good state in ${file} has version ${version}, and this Ballast reads ${LAST_GOOD_VERSION}`,
    hint: 'The dataplane keeps forwarding. The want in Redis, when it can be read and is not older, takes its place.',
    retryable: true,
  })

export interface LastGoodFile {
  /**
   * Durable when it returns, but for the note that a state was applied, which only a crash of the machine can lose,
   * and after that it is not true any more. A crash leaves the old one or the new one.
   */
  write(lastGood: LastGood): Promise<void>
}

/** Of the journal, bytes: after so many the whole is written again. */
const JOURNAL_BYTES = 1 << 20
/** A change of many rows is written as a whole, in slices. */
const CHANGE_BYTES = 1 << 17
const CHANGE_ROWS = 256

/** One writer at a time; its first write is the whole. */
export function openLastGoodFile(file: string): LastGoodFile {
  let written: { lastGood: LastGood; journal: string; bytes: number } | null = null

  return {
    async write(lastGood) {
      const line = written === null ? null : composeLine(written.lastGood, lastGood)
      if (written === null || line === null || written.bytes + line.length > JOURNAL_BYTES) {
        // What fails here leaves the journal that there is in doubt.
        written = null
        written = { lastGood, journal: await writeWhole(file, lastGood), bytes: 0 }
        return
      }
      const { journal, bytes } = written
      const isNewWant = written.lastGood.want !== lastGood.want
      written = null
      await append(journal, line, isNewWant)
      written = { lastGood, journal, bytes: bytes + line.length }
    },
  }
}

const CHECKSUM = 16
const checksum = (json: string): string => sha256(json).slice(0, CHECKSUM)

function composeLine(before: LastGood, after: LastGood): string | null {
  const change = findChange(before, after)
  if (change === null || countRows(change) > CHANGE_ROWS) return null
  const json = JSON.stringify(change)
  return json.length > CHANGE_BYTES ? null : `${checksum(json)} ${json}\n`
}

const countRows = ({ tables }: LastGoodChange): number =>
  Object.values(tables).reduce((sum, { put, removed }) => sum + Object.keys(put).length + removed.length, 0)

/** Written beside, synced, renamed, directory synced. Gives the file of its journal, which is not there yet. */
async function writeWhole(file: string, lastGood: LastGood): Promise<string> {
  await mkdir(dirname(file), { recursive: true })
  const digest = createHash('sha256')
  const handle = await open(`${file}.new`, 'w', 0o600)
  try {
    await handle.writeFile(composeChunks(lastGood, digest))
    await handle.datasync()
  } finally {
    await handle.close()
  }
  const journal = journalOf(file, digest.digest('hex'))
  // Of an earlier time when the whole was the same.
  await rm(journal, { force: true })
  await rename(`${file}.new`, file)
  await syncDirectory(file)
  for (const name of await readdir(dirname(file))) {
    const isOld =
      name.startsWith(`${basename(file)}.`) && name.endsWith('.journal') && name !== basename(journal)
    if (isOld) await rm(join(dirname(file), name), { force: true })
  }
  return journal
}

const WRITE_BYTES = 1 << 18

/** A hundred thousand backends are megabytes, of which text is made in slices. */
async function* composeChunks(lastGood: LastGood, digest: Hash): AsyncGenerator<string, void> {
  const breathe = createBreather()
  let chunk = ''
  for (const piece of composeWhole(lastGood)) {
    await breathe()
    digest.update(piece)
    chunk += piece
    if (chunk.length < WRITE_BYTES) continue
    yield chunk
    chunk = ''
  }
  yield chunk
}

/** As JSON, in pieces of one row each. */
function* composeWhole({ state: { tables, ...state }, ...rest }: LastGood): Generator<string, void> {
  const begin = (value: object): string => JSON.stringify(value).slice(0, -1)
  yield `${begin(rest)},"state":${begin(state)},"tables":{`
  for (const [index, driver] of DriverName.options.entries()) {
    yield `${index === 0 ? '' : ','}"${driver}":{`
    let comma = ''
    for (const [key, row] of Object.entries<object>(tables[driver])) {
      yield `${comma}${JSON.stringify(key)}:${JSON.stringify(row)}`
      comma = ','
    }
    yield '}'
  }
  yield '}}}'
}

async function append(journal: string, line: string, durable: boolean): Promise<void> {
  const handle = await open(journal, 'a', 0o600)
  try {
    const isNew = (await handle.stat()).size === 0
    await handle.writeFile(line)
    if (!durable) return
    await handle.datasync()
    if (isNew) await syncDirectory(journal)
  } finally {
    await handle.close()
  }
}

async function syncDirectory(file: string): Promise<void> {
  const directory = await open(dirname(file), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const readIfThere = (file: string): Promise<string | null> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })

const unreadable = (file: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'LAST_GOOD_UNREADABLE',
    message: `the last good state in ${file} cannot be read`,
    hint: 'The dataplane keeps forwarding. Move the file away; the next want from the reconciler writes a new one.',
    cause,
  })
