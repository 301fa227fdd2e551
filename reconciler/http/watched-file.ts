import { readFileSync, statSync } from 'node:fs'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { Log } from '../log/log.ts'

export interface WatchedFileOptions<Value> {
  /** The name of the setting that names the file, for messages. */
  readonly setting: string
  readonly file: string
  /** Gives what is wrong with the text, in words that do not quote it. */
  readonly parse: (text: string) => { readonly value: Value } | { readonly problem: string }
  readonly log: Log
  readonly now: () => number
}

/** How often it is looked whether the file changed, ms. */
const LOOK_MS = 1_000
const MOST_BYTES = 1_048_576

/**
 * A file of secrets, read again when it changes, so that they can be replaced under way. One that becomes
 * unreadable is told, and what it said last stays. Throws `SECRET_FILE_UNUSABLE` at first.
 */
export function openWatchedFile<Value>(options: WatchedFileOptions<Value>): () => Value {
  const { setting, file, log, now } = options
  let stamp = ''
  let lookedAt = now()
  let value = readFirst()

  function readFirst(): Value {
    try {
      return read()
    } catch (cause) {
      throw new BallastError({
        code: 'SECRET_FILE_UNUSABLE',
        message: `the file that ${setting} names, ${file}, cannot be used: ${(cause as Error).message}`,
        hint: 'docs/http.md shows what it looks like.',
        cause,
      })
    }
  }

  function read(): Value {
    const { mtimeMs, ino, size, mode } = statSync(file)
    stamp = `${mtimeMs} ${ino} ${size}`
    if ((mode & 0o007) !== 0)
      log.warn({ file }, `${setting}: everybody on this machine can read it; chmod 640`)
    if (size > MOST_BYTES) throw new Error('it is larger than 1 MiB')
    const parsed = options.parse(readFileSync(file, 'utf8'))
    if ('problem' in parsed) throw new Error(parsed.problem)
    return parsed.value
  }

  return () => {
    if (now() - lookedAt < LOOK_MS) return value
    lookedAt = now()
    try {
      const { mtimeMs, ino, size } = statSync(file)
      if (`${mtimeMs} ${ino} ${size}` === stamp) return value
      value = read()
      log.info({ file }, `${setting} was read again`)
    } catch (error) {
      log.error(
        { file, reason: (error as Error).message },
        `${setting} cannot be used; what it said before stays`,
      )
    }
    return value
  }
}
