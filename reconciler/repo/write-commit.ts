import { join } from 'node:path'
import { Revision } from '../../schemas/want.ts'
import type { CommitSigner } from './commit-signer.ts'
import { type GitPlace, runGit } from './git-command.ts'

export interface CommitInput {
  /** Null: the first commit of a branch. */
  readonly parent: Revision | null
  /** Path → id of a blob; null: removed, if it is there. */
  readonly blobs: ReadonlyMap<string, string | null>
  readonly message: string
  /** ms since the epoch; Git keeps seconds. */
  readonly at: number
  readonly author: { readonly name: string; readonly email: string }
  readonly signer: CommitSigner
}

/** Writes a commit on a parent, with these files changed and all others as they are; moves no ref. One at a time. */
export async function writeCommit(place: GitPlace, input: CommitInput): Promise<Revision> {
  const { parent, blobs, message, at, author, signer } = input
  const index = { GIT_INDEX_FILE: join(place.gitDir, 'ballast-index') }
  await runGit(place, ['read-tree', parent ?? '--empty'], { env: index })
  if (blobs.size > 0) {
    const lines = Array.from(blobs, ([path, blob]) =>
      blob === null ? `0 ${'0'.repeat(40)}\t${path}\0` : `100644 ${blob}\t${path}\0`,
    )
    await runGit(place, ['update-index', '-z', '--index-info'], { env: index, input: lines.join('') })
  }
  const { stdout: tree } = await runGit(place, ['write-tree'], { env: index })
  const date = `@${Math.floor(at / 1000)} +0000`
  const parents = parent === null ? [] : ['-p', parent]
  const args = [...signer.settings, 'commit-tree', ...signer.flags, ...parents, '-F', '-', tree.trim()]
  const { stdout } = await runGit(place, args, {
    input: message,
    env: {
      ...signer.env,
      GIT_AUTHOR_NAME: author.name,
      GIT_AUTHOR_EMAIL: author.email,
      GIT_AUTHOR_DATE: date,
      GIT_COMMITTER_NAME: author.name,
      GIT_COMMITTER_EMAIL: author.email,
      GIT_COMMITTER_DATE: date,
    },
  })
  return Revision.parse(stdout.trim())
}
