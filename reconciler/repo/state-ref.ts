import type { Revision } from '../../schemas/want.ts'
import { type GitPlace, runGit } from './git-command.ts'

/** Names a blob: what the reconciler keeps of a rollout, beside its disk and Redis. */
const STATE_REF = 'refs/ballast/state'

/** Null: nothing was kept. */
export async function readState(place: GitPlace): Promise<string | null> {
  const args = ['cat-file', 'blob', STATE_REF]
  const { exitCode, stdout } = await runGit(place, args, { okExitCodes: [0, 128] })
  return exitCode === 0 ? stdout : null
}

export async function writeState(place: GitPlace, text: string): Promise<void> {
  const { stdout } = await runGit(place, ['hash-object', '-w', '--stdin'], { input: text })
  await runGit(place, ['update-ref', '-m', 'ballast: state', STATE_REF, stdout.trim()])
}

/** The values of a trailer (git-interpret-trailers(1)) in the commits of `head` that `base` has not, newest first. */
export async function readTrailers(
  place: GitPlace,
  { key, base, head }: { readonly key: string; readonly base: Revision | null; readonly head: Revision },
): Promise<string[]> {
  const range = base === null ? ['-1', head] : [`${base}..${head}`]
  const format = `--format=%(trailers:key=${key},valueonly,unfold,separator=%x0a)`
  const { stdout } = await runGit(place, ['log', '--no-show-signature', format, ...range, '--'])
  return stdout.split('\n').filter(line => line.trim() !== '')
}
