import { BallastError } from '../../schemas/ballast-error.ts'
import { Revision } from '../../schemas/want.ts'
import { type GitPlace, runGit } from './git-command.ts'

/** The tree that a merge would make has its own commit, which no ref names. */
export type MergePreview = { readonly revision: Revision } | { readonly conflicts: readonly string[] }

const NOBODY = {
  GIT_AUTHOR_NAME: 'ballast',
  GIT_AUTHOR_EMAIL: 'ballast@localhost',
  GIT_AUTHOR_DATE: '@0 +0000',
  GIT_COMMITTER_NAME: 'ballast',
  GIT_COMMITTER_EMAIL: 'ballast@localhost',
  GIT_COMMITTER_DATE: '@0 +0000',
}

/**
 * What the branch would be with `head` merged into it (git-merge-tree(1)); `base` itself when it has it already, `head`
 * when it goes on from `base`. Touches no ref and no file of a work tree. The same two give the same commit. Throws
 * `NO_COMMON_HISTORY`.
 */
export async function previewMerge(place: GitPlace, base: Revision, head: Revision): Promise<MergePreview> {
  const isAncestor = async (a: Revision, b: Revision): Promise<boolean> =>
    (await runGit(place, ['merge-base', '--is-ancestor', a, b], { okExitCodes: [0, 1] })).exitCode === 0
  if (await isAncestor(base, head)) return { revision: head }
  if (await isAncestor(head, base)) return { revision: base }
  const merged = await runGit(
    place,
    ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', base, head],
    { okExitCodes: [0, 1] },
  ).catch((error: unknown) => {
    throw isUnrelated(error) ? noCommonHistory(place, head, error) : error
  })
  const [tree = '', ...files] = merged.stdout.split('\0').filter(line => line !== '')
  if (merged.exitCode === 1) return { conflicts: files }
  const { stdout } = await runGit(
    place,
    ['commit-tree', '--no-gpg-sign', '-p', base, '-p', head, '-m', `merge of ${head}`, tree],
    { env: NOBODY },
  )
  return { revision: Revision.parse(stdout.trim()) }
}

const isUnrelated = (error: unknown): boolean =>
  error instanceof BallastError && error.message.includes('unrelated histories')

const noCommonHistory = ({ dir }: GitPlace, head: Revision, cause: unknown): BallastError =>
  new BallastError({
    code: 'NO_COMMON_HISTORY',
    message: `In ${dir} what is proposed, ${head}, has no history in common with the branch`,
    hint: 'Is the clone shallow? Fetch all of it: fetch-depth: 0 of actions/checkout, GIT_DEPTH: "0" of GitLab.',
    cause,
  })
