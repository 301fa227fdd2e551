import fs from 'node:fs'
import git from 'isomorphic-git'
import { BallastError } from '../../schemas/ballast-error.ts'
import type { Revision } from '../../schemas/want.ts'
import { openSigner, type SigningKey } from './commit-signer.ts'
import { type GitPlace, runGit } from './git-command.ts'
import { openMirror } from './mirror.ts'
import type { WritableRemote } from './push.ts'
import { writeCommit } from './write-commit.ts'

export interface ProposeOptions {
  /** A bare repository of our own, made if need be. */
  readonly dir: string
  /** `place`: a repository to run git in. */
  readonly openRemote: (place: GitPlace) => Promise<WritableRemote>
  readonly author: { readonly name: string; readonly email: string }
  readonly signingKey: SigningKey | undefined
}

export interface ChangeRequest {
  /** The branch that the change is for, and what it was when the change was made. */
  readonly into: string
  readonly base: Revision
  /** Path → text; null: the file goes. */
  readonly files: ReadonlyMap<string, string | null>
  readonly message: string
  /** ms since the epoch. */
  readonly at: number
  /** The branch to push; null: only say what would change. */
  readonly branch: string | null
}

/**
 * Commits on top of a branch, pushes that as a branch of its own, never by force, and gives the change as `git diff` shows
 * it. A branch that holds the same files already stays as it is. Throws what `WritableRemote` throws, `BRANCH_MOVED`,
 * `BRANCH_EXISTS`, `SECRET_UNREADABLE`.
 */
export async function proposeChange(
  { dir, openRemote, author, signingKey }: ProposeOptions,
  { into, base, files, message, at, branch }: ChangeRequest,
): Promise<{ diff: string }> {
  const { place } = await openMirror(dir)
  const remote = await openRemote(place)
  const signer = await openSigner(signingKey)
  try {
    const tip = await remote.fetch(`refs/heads/${into}`, place)
    if (tip !== base) throw branchMoved(into)
    const blobs = new Map<string, string | null>()
    for (const [path, text] of files) {
      const blob = Buffer.from(text ?? '')
      blobs.set(path, text === null ? null : await git.writeBlob({ fs, gitdir: place.commonDir, blob }))
    }
    const commit = await writeCommit(place, { parent: base, blobs, message, at, author, signer })
    const { stdout: diff } = await runGit(place, ['diff', '--no-ext-diff', '--no-color', base, commit, '--'])
    if (branch === null) return { diff }
    const theirs = await remote.fetch(`refs/heads/${branch}`, place)
    if (theirs !== null) {
      const { stdout } = await runGit(place, ['diff-tree', '-r', '--name-only', theirs, commit, '--'])
      if (stdout === '') return { diff }
      throw branchExists(branch, remote.url)
    }
    await runGit(place, ['update-ref', `refs/heads/${branch}`, commit])
    await remote.push(branch, place)
    return { diff }
  } finally {
    remote.close()
    await signer.close()
  }
}

const branchMoved = (branch: string): BallastError =>
  new BallastError({
    code: 'BRANCH_MOVED',
    message: `${branch} has moved meanwhile`,
    hint: 'Try again: the change is then made on what is there now.',
    retryable: true,
  })

const branchExists = (branch: string, url: string): BallastError =>
  new BallastError({
    code: 'BRANCH_EXISTS',
    message: `${url} has a branch ${branch} with another change`,
    hint: 'Merge or delete it, then try again: nothing is forced.',
  })
