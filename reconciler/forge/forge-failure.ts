import { BallastError } from '../../schemas/ballast-error.ts'
import type { ForgeOptions } from './forge.ts'

/** What a forge answered that was no success. */
export interface FailedAnswer {
  readonly status: number
  readonly header: (name: string) => string | null
}

/** `answer` null: there was none. */
export function forgeFailure(
  { url, project }: Pick<ForgeOptions, 'url' | 'project'>,
  answer: FailedAnswer | null,
  cause: unknown,
): BallastError {
  const host = new URL(url).host
  const said = cause instanceof Error ? cause.message : ''
  const waitMs = answer === null ? null : askedToWait(answer, said, Date.now())
  if (waitMs !== null)
    return new BallastError({
      code: 'FORGE_BUSY',
      message: `${host} takes no more from this token for now: status ${answer!.status}`,
      hint: `It asks to wait for ${Math.ceil(waitMs / 1000)} s. If it goes on: who else uses this token?`,
      retryable: true,
      waitMs,
      cause,
    })
  const status = answer?.status ?? null
  if (status === null || status >= 500)
    return new BallastError({
      code: 'FORGE_UNREACHABLE',
      message: `${host} gave no answer${status === null ? '' : ` but status ${status}`}`,
      hint: 'It is tried again. If it goes on: is the address right, and may this machine reach it?',
      retryable: true,
      cause,
    })
  // All of them answer 404 for what a token may not see.
  if (status === 401 || status === 403 || status === 404)
    return new BallastError({
      code: 'FORGE_UNAUTHORIZED',
      message: `${host} lets us do nothing with ${project}: status ${status}`,
      hint: 'The token must be of the project, not expired, and may write comments on pull requests and statuses of commits.',
      retryable: false,
      cause,
    })
  return new BallastError({
    code: 'FORGE_REFUSED',
    message: `${host} refused: status ${status}: ${said}`.slice(0, 500),
    hint: 'See the message of the forge.',
    retryable: false,
    cause,
  })
}

/** Where a forge limits us and does not say for how long (GitHub: "wait for at least one minute"; GitLab counts by the minute). */
const USUAL_WAIT_MS = 60_000

/**
 * ms, or null: it is not because we ask too much. GitHub says so by 403 as well as by 429 ("Rate limits for the REST
 * API": `retry-after`, else `x-ratelimit-remaining: 0` with `x-ratelimit-reset`, else neither).
 */
function askedToWait({ status, header }: FailedAnswer, said: string, now: number): number | null {
  if (status !== 403 && status !== 429) return null
  const after = header('retry-after')
  const reset = header('x-ratelimit-remaining') === '0' ? header('x-ratelimit-reset') : null
  if (after !== null && /^\d+$/.test(after)) return Number(after) * 1000
  if (reset !== null && /^\d+$/.test(reset)) return Math.max(Number(reset) * 1000 - now, 0)
  return status === 429 || /rate limit/i.test(said) ? USUAL_WAIT_MS : null
}

/** ms after which a forge that says nothing is given up. */
export const ANSWER_WITHIN_MS = 20_000

export const cut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 1)}…`
