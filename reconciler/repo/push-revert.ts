import { BallastError } from '../../schemas/ballast-error.ts'
import type { Revision } from '../../schemas/want.ts'
import { openSigner, type SigningKey } from './commit-signer.ts'
import { type GitPlace, runGit } from './git-command.ts'
import { openMirror } from './mirror.ts'
import type { WritableRemote } from './push.ts'
import { writeCommit } from './write-commit.ts'

export interface ReverterOptions {
  /** A bare repository of our own, made if need be. */
  readonly dir: string
  /** `place`: a repository to run git in. */
  readonly openRemote: (place: GitPlace) => Promise<WritableRemote>
  /** The folder of the repository that holds the manifests; '' for all of it. */
  readonly path: string
  readonly author: { readonly name: string; readonly email: string }
  readonly signingKey: SigningKey | undefined
}

export interface RevertRequest {
  /** The branch that is followed. */
  readonly branch: string
  readonly target: Revision
  /** To be had again. */
  readonly base: Revision
  readonly why: string
  /** ms since the epoch. The same request gives the same commit. */
  readonly at: number
  /** Pushed to a branch of its own, in place of the one that is followed. */
  readonly forReview: boolean
}

/** What was pushed: where, and how the commit says it. */
export interface PushedRevert {
  readonly branch: string
  readonly subject: string
  readonly body: string
}

/** Null: the followed branch has moved on, and there is nothing to take back. */
export type PushRevert = (request: RevertRequest) => Promise<PushedRevert | null>

/**
 * Pushes a commit that puts the manifests back to an earlier revision; all else stays, and nothing is forced. Throws
 * what `WritableRemote` throws, `REVERT_IMPOSSIBLE`, `SECRET_UNREADABLE`.
 */
export const createReverter =
  ({ dir, openRemote, path, author, signingKey }: ReverterOptions): PushRevert =>
  async ({ branch, target, base, why, at, forReview }) => {
    const { place } = await openMirror(dir)
    const remote = await openRemote(place)
    const signer = await openSigner(signingKey)
    try {
      const tip = await remote.fetch(`refs/heads/${branch}`, place)
      if (tip !== target) return null
      const blobs = await changesBack(place, { from: target, to: base, path })
      const { stdout: reverted } = await runGit(place, ['log', '-1', '--format=%s', target, '--'])
      const subject = `Revert "${reverted.trim()}"`
      const body = `This takes the manifests back to ${base}.\n${why}\n\nReverts: ${target}\n`
      const message = `${subject}\n\n${body}`
      const commit = await writeCommit(place, { parent: target, blobs, message, at, author, signer })
      const to = forReview ? `ballast/revert-${target.slice(0, 12)}` : branch
      await runGit(place, ['update-ref', `refs/heads/${to}`, commit])
      await remote.push(to, place)
      return { branch: to, subject, body }
    } finally {
      remote.close()
      await signer.close()
    }
  }

/** The files that differ, with the ids of their blobs at `to`; null: it has no such file. */
async function changesBack(
  place: GitPlace,
  { from, to, path }: { readonly from: Revision; readonly to: Revision; readonly path: string },
): Promise<Map<string, string | null>> {
  const args = [
    'diff-tree',
    '-r',
    '-z',
    '--no-renames',
    '--raw',
    from,
    to,
    '--',
    ...(path === '' ? [] : [path]),
  ]
  const { stdout } = await runGit(place, args).catch((cause: unknown) => {
    throw new BallastError({
      code: 'REVERT_IMPOSSIBLE',
      message: `${to} is not in the history of the branch`,
      hint: 'Revert the commit by hand.',
      cause,
    })
  })
  return new Map(
    Array.from(stdout.matchAll(/:\d+ (\d+) \S+ (\S+) \w\0([^\0]+)\0/g), ([, mode, oid, file]) => [
      file!,
      mode === '000000' ? null : oid!,
    ]),
  )
}
