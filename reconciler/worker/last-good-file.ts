import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BallastError } from '../../schemas/ballast-error.ts'
import { LastGood } from '../../schemas/last-good.ts'

/** Null when there is none yet. Throws `LAST_GOOD_UNREADABLE` for one that is not whole or of another version. */
export async function readLastGood(file: string): Promise<LastGood | null> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw unreadable(file, error)
  })
  if (text === null) return null
  try {
    return LastGood.parse(JSON.parse(text))
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

/** Durable when it returns: written beside, synced, renamed, directory synced. A crash leaves the old one or the new one. */
export async function writeLastGood(file: string, lastGood: LastGood): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  const beside = `${file}.new`
  const handle = await open(beside, 'w', 0o600)
  try {
    await handle.writeFile(JSON.stringify(lastGood))
    await handle.datasync()
  } finally {
    await handle.close()
  }
  await rename(beside, file)
  const directory = await open(dirname(file), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const unreadable = (file: string, cause: unknown): BallastError =>
  new BallastError({
    code: 'LAST_GOOD_UNREADABLE',
    message: `the last good state in ${file} cannot be read`,
    hint: 'The dataplane keeps forwarding. Move the file away; the next want from the reconciler writes a new one.',
    cause,
  })
