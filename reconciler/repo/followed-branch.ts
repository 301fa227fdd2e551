import { type GitPlace, runGit } from './git-command.ts'
import { readSymbolicRef } from './read-ref.ts'

/** A symbolic ref: the branch that was the default one when it was followed for the first time. */
const BRANCH_REF = 'refs/ballast/branch'

/** Null: none was remembered yet. */
export async function rememberedBranch(place: GitPlace): Promise<string | null> {
  const named = await readSymbolicRef(place, place.commonDir, BRANCH_REF)
  if (named !== undefined) return branchOf(named)
  const { stdout } = await runGit(place, ['symbolic-ref', '--quiet', BRANCH_REF], {
    okExitCodes: [0, 1, 128],
  })
  return branchOf(stdout.trim())
}

const branchOf = (ref: string | null): string | null => /^refs\/heads\/(.+)$/.exec(ref ?? '')?.[1] ?? null

export async function rememberBranch(place: GitPlace, branch: string): Promise<void> {
  await runGit(place, ['symbolic-ref', '-m', 'ballast: followed', BRANCH_REF, `refs/heads/${branch}`])
}
