import { stat } from 'node:fs/promises'
import type { Digest } from '../../../../schemas/want.ts'
import type { ConfigFile } from './compose-config.ts'
import { type ConfigFiles, readConfigs, writeSecret } from './config-file.ts'
import type { BirdControl } from './control.ts'
import { CONFIG } from './names.ts'
import { readStatus } from './read-replies.ts'
import { isError } from './reply.ts'

/** The digest of the file of Ballast that BIRD runs; null: none, or one without the constant. */
export async function askRunning(control: BirdControl): Promise<Digest | null> {
  const reply = await control.ask(`eval ${CONFIG}`)
  if (isError(reply)) return null
  return /^[0-9a-f]{64}$/.exec(reply.text.trim())?.[0] ?? null
}

export interface Running {
  /** What BIRD runs, as it was written; null: nothing of Ballast, or what somebody wrote over it. */
  readonly config: ConfigFile | null
}

/**
 * Makes files and daemon one again where an apply ended between them. BIRD runs the new file: it is kept. BIRD went
 * back to the one before: that is put back, or the next start of BIRD would run what was never confirmed.
 */
export async function settleFiles(
  control: BirdControl,
  files: ConfigFiles,
  socket: string,
): Promise<Running> {
  const digest = await askRunning(control)
  const { text, written, kept, keptText } = await readConfigs(files)
  if (digest === null) return { config: null }
  if (written?.digest === digest) {
    if (kept?.digest !== digest) {
      await control.ask('configure confirm')
      await writeSecret(files.confirmed, text!, socket)
    }
    return { config: written }
  }
  // What is in the file, and not what was kept, is what BIRD read last: someone changed both by hand.
  if (kept?.digest !== digest || (text !== null && (await wasRead(control, files.file))))
    return { config: null }
  await writeSecret(files.file, keptText!, socket)
  return { config: kept }
}

/** Whether BIRD read the configuration after the file was changed; true where that cannot be told. */
async function wasRead(control: BirdControl, file: string): Promise<boolean> {
  const { configurationAge } = readStatus(await control.ask('show status'))
  return configurationAge === null || (await stat(file)).ctimeMs <= Date.now() - configurationAge
}
