import type { ObjectPlan } from '../../schemas/plan.ts'
import type { Revision } from '../../schemas/want.ts'

export interface WayBackInput {
  /** What is to come back; null: nothing is known that could. */
  readonly base: Revision | null
  /** What undoing a commit that was merged goes by, when manifests cannot be compared. */
  readonly head: Revision | null
  readonly objects: readonly ObjectPlan[]
  /** The folder of the manifests; '' for all of the repository. */
  readonly path: string
}

/** Files that one command can name and a person can read. */
const FILES_NAMED = 10

/**
 * A command for a shell in a clone of the repository. Files are put back as they were, those that are new go: it
 * does the same whether the change was merged, squashed or rebased, and leaves alone what others changed meanwhile.
 */
export function wayBack({ base, head, objects, path }: WayBackInput): string | null {
  if (base === null) return head === null ? null : `git revert --no-edit ${head} && git push`
  const files = [
    ...new Set(objects.flatMap(({ at, file_before }) => [at.file, file_before ?? at.file])),
  ].sort()
  const named = files.length > 0 && files.length <= FILES_NAMED ? files : [path === '' ? '.' : path]
  const places = named.map(quote).join(' ')
  const message = quote(`Back to ${base.slice(0, 12)}`)
  return `git restore --source=${base} --staged --worktree -- ${places} && git commit -m ${message} && git push`
}

/** For a POSIX shell. */
const quote = (text: string): string =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
