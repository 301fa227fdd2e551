import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Revision } from '../../schemas/want.ts'
import type { GitPlace } from './git-command.ts'

/**
 * A ref's commit from the files of a repository (gitrepository-layout(5)): its own file stands before
 * `packed-refs`, which is written before own files go. Null: there is no such ref. Undefined: only git can say.
 */
export async function readRef({ commonDir }: GitPlace, ref: string): Promise<Revision | null | undefined> {
  const own = await readText(join(commonDir, ref))
  if (own !== null) return Revision.safeParse(own.trim()).data
  if (await isThere(join(commonDir, 'reftable'))) return undefined
  // No repository any more: not the same as one without the ref.
  if (!(await isThere(join(commonDir, 'HEAD')))) return undefined
  const packed = (await readText(join(commonDir, 'packed-refs'))) ?? ''
  return packed.includes(` ${ref}\n`) ? undefined : null
}

/**
 * What a symbolic ref names, from its file. Null: there is no such file. Undefined: only git can say. `folder`: the
 * `gitDir` for HEAD, the `commonDir` for the others.
 */
export async function readSymbolicRef(
  { commonDir }: GitPlace,
  folder: string,
  ref: string,
): Promise<string | null | undefined> {
  if (await isThere(join(commonDir, 'reftable'))) return undefined
  const text = await readText(join(folder, ref))
  return text === null ? null : /^ref: (\S+)\n$/.exec(text)?.[1]
}

/** Null when there is none; empty, so of use to nobody, when it cannot be read. */
const readText = (file: string): Promise<string | null> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? null : ''))

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
