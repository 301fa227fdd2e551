import { glob, readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { BallastError } from '../../../../schemas/ballast-error.ts'
import type { BirdControl } from './control.ts'
import { readStatus } from './read-replies.ts'
import { isError, textsOf } from './reply.ts'

/** Deeper than BIRD itself follows. */
const DEEPEST = 8

/**
 * `configure` makes all of BIRD's files take effect, also what an administrator has begun to change in his. Throws
 * `BGP_CONFIG_BROKEN` when his files are not valid, `BGP_CONFIG_PENDING` when he has not configured what he changed.
 * Files named in `own` are Ballast's.
 */
export async function refuseHalfFinished(control: BirdControl, own: readonly string[]): Promise<void> {
  const check = await control.ask('configure check')
  const main = textsOf(check, 2)[0]?.replace(/^Reading configuration from /, '')
  // A fault in our own file is mended by the one that takes its place.
  if (isError(check) && !own.some(file => check.text.includes(file))) throw broken(check.text)
  if (main === undefined || !isAbsolute(main)) return
  const { configurationAge } = readStatus(await control.ask('show status'))
  if (configurationAge === null) return
  const readAt = Date.now() - configurationAge
  for (const file of await findFiles(main, own, DEEPEST)) {
    const { ctimeMs } = await stat(file)
    if (ctimeMs > readAt) throw pending(file, new Date(ctimeMs).toISOString())
  }
}

/** The file and what it includes, without ours. */
async function findFiles(file: string, own: readonly string[], deepest: number): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null || own.includes(file)) return []
  const files = [file]
  for (const [, pattern] of text.matchAll(/^[^#"]*\binclude\s+"([^"]+)"\s*;/gm)) {
    if (deepest === 0) break
    for await (const found of glob(resolve(dirname(file), pattern!)))
      files.push(...(await findFiles(found, own, deepest - 1)))
  }
  return files
}

const broken = (said: string): BallastError =>
  new BallastError({
    code: 'BGP_CONFIG_BROKEN',
    message: `BIRD's own configuration is not valid: ${said}`,
    hint: 'Mend it, or put it back, and run `birdc configure`. Nothing was changed.',
    retryable: true,
  })

const pending = (file: string, when: string): BallastError =>
  new BallastError({
    code: 'BGP_CONFIG_PENDING',
    message: `${file} was changed at ${when} and BIRD does not run that yet: to configure now would make it take effect`,
    hint: 'Run `birdc configure` when the change is ready, or put the file back and run it. Nothing was changed.',
    retryable: true,
  })
