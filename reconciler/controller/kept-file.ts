import { open, readFile, rename } from 'node:fs/promises'
import type { z } from 'zod'
import type { Log } from '../log/log.ts'

/** A value in a file, replaced as a whole, and on the disk when `write` settles. */
export interface KeptFile<Value> {
  /** Null: there is none, or it cannot be read, and the log says so. */
  read(): Promise<Value | null>
  write(value: Value): Promise<void>
}

export function openKeptFile<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  log: Log,
): KeptFile<z.output<Schema>> {
  return {
    async read() {
      try {
        return schema.parse(JSON.parse(await readFile(file, 'utf8')))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
          log.warn({ err: error, file }, 'this file cannot be read; what Redis and Git have of it counts')
        return null
      }
    },
    async write(value) {
      const handle = await open(`${file}.new`, 'w', 0o600)
      try {
        await handle.writeFile(JSON.stringify(value))
        await handle.datasync()
      } finally {
        await handle.close()
      }
      await rename(`${file}.new`, file)
    },
  }
}
