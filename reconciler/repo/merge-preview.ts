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
  // One start of git, not two: of two commits where one has the other behind it, that one is the best common ancestor.
  const { stdout: common, exitCode } = await runGit(place, ['merge-base', base, head], {
    okExitCodes: [0, 1],
  })
  if (exitCode === 1) throw noCommonHistory(place, head)
  if (common.trim() === base) return { revision: head }
  if (common.trim() === head) return { revision: base }
  const merged = await runGit(
    place,
    ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', base, head],
    { okExitCodes: [0, 1] },
  )
  const [tree = '', ...files] = merged.stdout.split('\0').filter(line => line !== '')
  if (merged.exitCode === 1) return { conflicts: files }
  const { stdout } = await runGit(
    place,
    ['commit-tree', '--no-gpg-sign', '-p', base, '-p', head, '-m', `merge of ${head}`, tree],
    { env: NOBODY },
  )
  return { revision: Revision.parse(stdout.trim()) }
}

const noCommonHistory = ({ dir }: GitPlace, head: Revision): BallastError =>
  new BallastError({
    code: 'NO_COMMON_HISTORY',
    message: `In ${dir} what is proposed, ${head}, has no history in common with the branch`,
    hint: 'Is the clone shallow? Fetch all of it: fetch-depth: 0 of actions/checkout, GIT_DEPTH: "0" of GitLab.',
  })
