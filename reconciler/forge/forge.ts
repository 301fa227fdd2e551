import type { Revision } from '../../schemas/want.ts'

/** What is said of a commit, in a forge's list of checks. */
export interface CommitStatus {
  /** Who says it: one status of a commit for each. */
  readonly context: string
  readonly state: 'pending' | 'success' | 'failure' | 'error'
  /** Cut where the forge cuts it. */
  readonly description: string
  readonly url: string | null
}

export interface PullRequest {
  /** GitLab's iid: the number that people see. */
  readonly number: number
  readonly title: string
  readonly state: 'open' | 'closed' | 'merged'
  /** The branch that it is to be merged into. */
  readonly into: string
  readonly head: Revision
  /** From another repository: its author may be anybody. */
  readonly isFork: boolean
  readonly url: string
}

/**
 * The place where pull requests (GitLab: merge requests) are reviewed. Every call throws `FORGE_UNREACHABLE` (worth
 * trying again), `FORGE_BUSY` (after `waitMs`), `FORGE_UNAUTHORIZED`, `FORGE_REFUSED`.
 */
export interface Forge {
  readPull(number: number): Promise<PullRequest>
  /** Makes our comment that begins with this marker say `body`, which does too; makes one when there is none. */
  putComment(number: number, marker: string, body: string): Promise<void>
  putStatus(revision: Revision, status: CommitStatus): Promise<void>
  /** Opens one, or gives the open one from the same branch. */
  openPull(pull: { from: string; into: string; title: string; body: string }): Promise<{ url: string }>
}

/** The ref, in the project's own repository, of what is proposed; also from a fork. */
export const pullRef = (kind: ForgeKind, number: number): string =>
  kind === 'gitlab' ? `refs/merge-requests/${number}/head` : `refs/pull/${number}/head`

export type ForgeKind = 'github' | 'gitlab' | 'gitea'

export interface ForgeOptions {
  readonly kind: ForgeKind
  /** `https://api.github.com`, `https://gitlab.example.org`, `https://gitea.example.org`. */
  readonly url: string
  /** `owner/name`; GitLab: the whole path. */
  readonly project: string
  /** Asked for at every call, since some expire. */
  readonly token: () => Promise<string>
}
