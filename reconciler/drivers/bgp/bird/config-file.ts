import { chmod, chown, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isAbsent } from '../../../process/is-absent.ts'
import { type ConfigFile, readConfig } from './compose-config.ts'

/**
 * The file that BIRD includes, and beside it `.confirmed`: what BIRD kept last. A change that was not confirmed
 * leaves the file new and BIRD old (its undo restores routes, not files); the copy is what is put back then.
 */
export interface ConfigFiles {
  readonly file: string
  readonly confirmed: string
  /** Written here before it takes the place of `file`. */
  readonly next: string
}

export const configFiles = (file: string): ConfigFiles => ({
  file,
  confirmed: `${file}.confirmed`,
  next: `${file}.next`,
})

/**
 * What BIRD shall include: `/run/ballast/lb-1/bird.conf` as `/run/[b]allast/lb-1/bird.conf`. After a boot the file is
 * not there; BIRD does not start without a file that it includes by name, and does without what a pattern finds.
 */
export const includePattern = (file: string): string => file.replace(/^(\/[^/]+\/)([^/])/, '$1[$2]')

export async function readText(file: string): Promise<string | null> {
  if (isAbsent(file)) return null
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
}

/** With passwords in it: for root, and for the group that may use BIRD's control socket, which is BIRD's own. */
export async function writeSecret(file: string, text: string, socket: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o755 })
  await writeFile(`${file}.new`, text, { mode: 0o600 })
  const group = await stat(socket).then(
    ({ gid }) => gid,
    () => null,
  )
  if (group !== null) {
    await chown(`${file}.new`, -1, group)
    await chmod(`${file}.new`, 0o640)
  }
  await rename(`${file}.new`, file)
}

/** The last two texts that were read: every look reads the same file and its copy. */
const known = new Map<string, ConfigFile | null>()

function readKnown(text: string): ConfigFile | null {
  const config = known.get(text) ?? readConfig(text)
  known.delete(text)
  known.set(text, config)
  for (const oldest of known.keys()) if (known.size > 2) known.delete(oldest)
  return config
}

/** Of the file and its copy, those that are as Ballast wrote them. */
export async function readConfigs({ file, confirmed }: ConfigFiles) {
  const [now, kept] = await Promise.all([readText(file), readText(confirmed)])
  return {
    text: now,
    written: now === null ? null : readKnown(now),
    kept: kept === null ? null : readKnown(kept),
    keptText: kept,
  }
}
