import type { BallastError } from '../../schemas/ballast-error.ts'
import type { Revision } from '../../schemas/want.ts'
import type { GitPlace } from './git-command.ts'

/** What a remote says of itself without handing out a commit. */
export interface RemoteRefs {
  /** The branch that HEAD names, without `refs/heads/`; null when it names none, or was not asked for. */
  readonly defaultBranch: string | null
  /** Head of the branch that was asked for; null: there is no such branch. */
  readonly tip: Revision | null
}

/**
 * A repository on another machine. Both throw `GIT_REMOTE_UNREACHABLE`, `GIT_REMOTE_TIMED_OUT`, `GIT_REMOTE_UNTRUSTED`,
 * `GIT_REMOTE_UNAUTHORIZED`, `GIT_REMOTE_NOT_FOUND`, `GIT_REMOTE_MOVED`, `GIT_REMOTE_FAILED`, `GIT_PROXY_REFUSED`,
 * `SECRET_UNREADABLE`. Secrets are read anew each time, so that they can be changed under way.
 */
export interface Remote {
  /** Without secrets. */
  readonly url: string
  /** `branch` null: the default branch. `withDefault`: say also which that is, if a branch is given. */
  list(wanted: { readonly branch: string | null; readonly withDefault: boolean }): Promise<RemoteRefs>
  /**
   * Brings what a full ref (`refs/heads/main`) points to, and all its history, into the mirror; moves no branch there.
   * Gives the commit as it was at that moment, which is whole in the mirror then; null: there is no such ref.
   */
  fetch(ref: string, mirror: GitPlace): Promise<Revision | null>
  /** Ends what is under way with an error; not to be used after. */
  close(): void
}

/** Trying again is of no use before a person changed something. */
export const needsPerson = ({ code }: BallastError): boolean =>
  [
    'GIT_REMOTE_UNAUTHORIZED',
    'GIT_REMOTE_UNTRUSTED',
    'GIT_REMOTE_NOT_FOUND',
    'GIT_REMOTE_MOVED',
    'SECRET_UNREADABLE',
  ].includes(code)
