import { readFile, rename, writeFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { Pause } from '../../schemas/drift-policy.ts'

/** That somebody works on this node by hand, as long as nobody says that it is over: kept on disk, for a worker that starts anew. */
export interface KeptPause {
  /** Null: nobody does. It ends by itself, also when nobody can be asked. */
  current(now: number): Pause | null
  /** What the control plane says; null: nothing, which a Redis that lost all says too. */
  take(found: Pause | null): Promise<void>
}

/** A file that cannot be read is no reason to stop. */
export async function openKeptPause(file: string): Promise<KeptPause> {
  let pause = await readPause(file)
  return {
    current: now => (pause !== null && now < pause.until ? pause : null),
    async take(found) {
      if (found === null || isDeepStrictEqual(found, pause)) return
      pause = found
      await writeFile(`${file}.new`, JSON.stringify(found))
      await rename(`${file}.new`, file)
    },
  }
}

async function readPause(file: string): Promise<Pause | null> {
  try {
    return Pause.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch {
    return null
  }
}
