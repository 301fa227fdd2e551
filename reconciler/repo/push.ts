import { BallastError } from '../../schemas/ballast-error.ts'
import type { GitPlace } from './git-command.ts'
import type { Remote } from './remote.ts'

/** A remote that one may write to. */
export interface WritableRemote extends Pick<Remote, 'url' | 'fetch' | 'close'> {
  /**
   * Moves the branch there to where it is in `place`, never by force. Throws `GIT_PUSH_REJECTED` when the branch there is
   * no ancestor, or the server does not let us; and what `fetch` throws.
   */
  push(branch: string, place: GitPlace): Promise<void>
}

/** Lines of git that say nothing of why. */
const NO_REASON = /^(To |hint: |error: failed to push|Done$)/

/** `said`: by git, on standard error or in the form of `--porcelain`. */
export function pushRejected(url: string, branch: string, said: string): BallastError {
  const lines = said.split(/[\r\n]+/).filter(line => line.trim() !== '' && !NO_REASON.test(line))
  const why = lines.slice(0, 4).join('; ').replaceAll('\t', ' ').slice(0, 400)
  return new BallastError({
    code: 'GIT_PUSH_REJECTED',
    message: `${url} did not take what was pushed to ${branch}${why === '' ? '' : `: ${why}`}`,
    hint: 'See whether the key or token may write, and whether the branch is protected or a hook refuses. It is tried again.',
    retryable: true,
  })
}
