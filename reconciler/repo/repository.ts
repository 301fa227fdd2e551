import { BallastError } from '../../schemas/ballast-error.ts'
import type { Diagnostic } from '../../schemas/diagnostic.ts'
import { Revision } from '../../schemas/want.ts'
import { findRepository } from './find-repository.ts'
import { revisionNotFound, runGit } from './git-command.ts'
import { type Description, describeCommit, isAmongParents } from './history.ts'
import { type MergePreview, previewMerge } from './merge-preview.ts'
import { createObjects } from './objects.ts'
import { readRef, readSymbolicRef } from './read-ref.ts'
import { createRefWriter } from './ref-writer.ts'
import { readSnapshot, type Snapshot, type SnapshotRequest } from './snapshot.ts'
import { readState, readTrailers, writeState } from './state-ref.ts'
import { type VerifyRequest, verifyCommits } from './verify-commits.ts'
import { watchRef } from './watch-ref.ts'

export type { Snapshot, SnapshotRequest } from './snapshot.ts'

/**
 * A local repository, bare or with a work tree, which is never looked at. All of it throws `GIT_FAILED`,
 * `COMMAND_…` and what is named.
 */
export interface Repository {
  readonly dir: string
  /** A branch, a ref, a commit's id, also abbreviated, or whatever gitrevisions(7) knows. Null: no such commit. */
  resolve(ref: string): Promise<Revision | null>
  previewMerge(base: Revision, head: Revision): Promise<MergePreview>
  /** What HEAD names, without `refs/heads/`; the branch need not have commits. Null when HEAD is detached. */
  defaultBranch(): Promise<string | null>
  /** Throws `REVISION_NOT_FOUND`, `OBJECT_MISSING`, `OBJECT_UNREADABLE`. */
  snapshot(revision: Revision, request: SnapshotRequest): Promise<Snapshot>
  /** A commit is its own ancestor; one that is gone is nobody's. Throws `REVISION_NOT_FOUND` for the descendant. */
  isAncestor(ancestor: Revision, descendant: Revision): Promise<boolean>
  /** Throws `REVISION_NOT_FOUND`. */
  describe(revision: Revision): Promise<Description>
  /** The last good revision: `refs/ballast/accepted`, which keeps it from being collected. */
  accepted(): Promise<Revision | null>
  /** Throws `ACCEPTED_MOVED` when the accepted revision is not `previous`. */
  accept(revision: Revision, previous: Revision | null): Promise<void>
  /** The revision that a person took as it is, though rewritten or shrunken: `refs/ballast/allowed`. */
  allowed(): Promise<Revision | null>
  allow(revision: Revision): Promise<void>
  /** What was kept last, of a rollout; null: nothing. In a ref, `refs/ballast/state`. */
  state(): Promise<string | null>
  keepState(text: string): Promise<void>
  /** See `readTrailers`. */
  trailers(request: { key: string; base: Revision | null; head: Revision }): Promise<string[]>
  /** See `verifyCommits`. */
  verify(request: VerifyRequest): Promise<Diagnostic[]>
  /** Yields at once and whenever the ref may have moved; see `watchRef`. Throws `REPO_WATCH_FAILED`. */
  watch(ref: string, signal: AbortSignal): AsyncIterable<void>
}

const ACCEPTED_REF = 'refs/ballast/accepted'
const ACCEPTED_REASON = 'ballast: accepted'
export const ALLOWED_REF = 'refs/ballast/allowed'

/** Throws `REPO_NOT_FOUND`, `REPO_UNSUPPORTED`, `GIT_NOT_INSTALLED`. */
export async function openRepository({ dir }: { readonly dir: string }): Promise<Repository> {
  const place = await findRepository(dir)
  const objects = createObjects(place)
  const moveAccepted = createRefWriter(place, ACCEPTED_REASON)

  /**
   * By the git command: isomorphic-git looks into `packed-refs` before it looks for the ref's own file, and
   * gives an old value when `git pack-refs` comes between; an old head would look like a rewritten branch.
   */
  async function parse(name: string): Promise<Revision | null> {
    // A push waits for this; starting git takes longer than all else that is read.
    const isPlain = !name.includes('..') && /^refs\/(heads|ballast)\/[\w./-]+$/.test(name)
    const read = isPlain ? await readRef(place, name) : undefined
    if (read !== undefined) return read
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]
    const { exitCode, stdout } = await runGit(place, args, { okExitCodes: [0, 1, 128] })
    // 128 is also what git says when it finds no repository any more, and then this throws.
    if (exitCode === 128) await runGit(place, ['rev-parse', '--git-dir'])
    return Revision.safeParse(stdout.trim()).data ?? null
  }

  async function resolve(ref: string): Promise<Revision | null> {
    if (ref === '') return null
    const isName = !ref.startsWith('refs/') && ref !== 'HEAD'
    return (isName ? await parse(`refs/heads/${ref}`) : null) ?? (await parse(ref))
  }

  const accepted = (): Promise<Revision | null> => parse(ACCEPTED_REF)

  return {
    dir: place.dir,
    resolve,
    previewMerge: (base, head) => previewMerge(place, base, head),
    accepted,
    allowed: () => parse(ALLOWED_REF),
    async allow(revision) {
      await runGit(place, ['update-ref', '-m', 'ballast: allowed', ALLOWED_REF, revision])
    },
    state: () => readState(place),
    keepState: text => writeState(place, text),
    trailers: request => readTrailers(place, request),
    verify: request => verifyCommits(place, request),
    watch: (ref, signal) => watchRef(place, ref, signal),

    async defaultBranch() {
      const named = await readSymbolicRef(place, place.gitDir, 'HEAD')
      if (named?.startsWith('refs/heads/')) return named.slice('refs/heads/'.length)
      const args = ['symbolic-ref', '--quiet', 'HEAD']
      const { stdout } = await runGit(place, args, { okExitCodes: [0, 1] })
      return stdout.trim().replace(/^refs\/heads\//, '') || null
    },

    async snapshot(revision, request) {
      const root = await objects.treeOf(revision)
      if (root === null) throw revisionNotFound(place, revision)
      return await readSnapshot(objects, { revision, root }, request)
    },

    async isAncestor(ancestor, descendant) {
      if (await isAmongParents(objects, ancestor, descendant)) return true
      const args = ['merge-base', '--is-ancestor', ancestor, descendant]
      const { exitCode } = await runGit(place, args, { okExitCodes: [0, 1, 128] })
      if (exitCode !== 128) return exitCode === 0
      if ((await parse(descendant)) === null) throw revisionNotFound(place, descendant)
      return false
    },

    async describe(revision) {
      const known = await describeCommit(objects, revision)
      if (known !== null) return known
      const args = ['log', '-1', '--no-show-signature', '--format=%an <%ae>%x00%ct%x00%s', revision, '--']
      const { stdout } = await runGit(place, args).catch((cause: unknown) => {
        throw revisionNotFound(place, revision, cause)
      })
      const [author = '', seconds = '', subject = ''] = stdout.replace(/\n$/, '').split('\0')
      return { revision, subject, author, at: Number(seconds) * 1000 }
    },

    async accept(revision, previous) {
      if (await moveAccepted({ ref: ACCEPTED_REF, to: revision, from: previous })) return
      const none = '0'.repeat(revision.length)
      const args = ['update-ref', '-m', ACCEPTED_REASON, ACCEPTED_REF, revision, previous ?? none]
      try {
        await runGit(place, args)
      } catch (cause) {
        const now = await accepted()
        if (now === previous) throw cause
        throw new BallastError({
          code: 'ACCEPTED_MOVED',
          message: `the accepted revision of ${place.dir} is ${now ?? 'gone'}, and not ${previous ?? 'unset'} any more`,
          hint: 'Another reconciler may follow this repository; start again from what is accepted now.',
          retryable: true,
          cause,
        })
      }
    },
  }
}
