import { BallastError } from '../../schemas/ballast-error.ts'
import type { ForgeOptions } from './forge.ts'

/** `status` of its answer; null: there was none. */
export function forgeFailure(
  { url, project }: Pick<ForgeOptions, 'url' | 'project'>,
  status: number | null,
  cause: unknown,
): BallastError {
  const host = new URL(url).host
  if (status === null || status >= 500 || status === 429)
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
    message: `${host} refused: status ${status}: ${cause instanceof Error ? cause.message : ''}`.slice(
      0,
      500,
    ),
    hint: 'See the message of the forge.',
    retryable: false,
    cause,
  })
}

/** ms after which a forge that says nothing is given up. */
export const ANSWER_WITHIN_MS = 20_000

export const cut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 1)}…`
