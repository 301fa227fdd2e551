import type { GitPlace } from './git-command.ts'
import { type GitObjects, openGitObjects } from './git-objects.ts'
import { createIsomorphicObjects, packBytes } from './isomorphic-objects.ts'

/**
 * Up to so many objects are read by isomorphic-git; more in one go by the git command. Measured with 10,000
 * blobs of 0.8 KB: isomorphic-git takes 0.5 ms for each and 2 ms for a tree, `git cat-file` 0.26 s for all.
 */
const FEW = 16

/** isomorphic-git reads and checks a pack whole before its first object. */
const SMALL_PACKS = 16 << 20

/** What serves one snapshot: sizes from git, contents from whichever of the two is fit for it. */
export async function openObjects(place: GitPlace, isomorphic: boolean): Promise<GitObjects> {
  const git = await openGitObjects(place)
  if (!isomorphic || (await packBytes(place)) > SMALL_PACKS) return git
  const direct = createIsomorphicObjects(place)

  /** What isomorphic-git cannot read (an odd name, a pack that has just been replaced) git can, or it says why not. */
  const choose =
    <T>(few: (oids: readonly string[]) => Promise<T[]>, many: (oids: readonly string[]) => Promise<T[]>) =>
    (oids: readonly string[]): Promise<T[]> =>
      oids.length > FEW ? many(oids) : few(oids).catch(() => many(oids))

  return {
    ...git,
    readTrees: choose(direct.readTrees, git.readTrees),
    readBlobs: choose(direct.readBlobs, git.readBlobs),
  }
}
