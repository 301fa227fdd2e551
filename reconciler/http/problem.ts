import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Problem } from '../../schemas/api/problem.ts'
import { BallastError } from '../../schemas/ballast-error.ts'

export interface ProblemInput {
  readonly status: ContentfulStatusCode
  /** Upper-case words, stable. */
  readonly code: string
  /** What is wrong and what to do about it; seen by whoever asks. */
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** An answer that says why not (RFC 9457). */
export function answerProblem(
  context: Context,
  { status, code, detail, headers = {} }: ProblemInput,
): Response {
  const problem: Problem = { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code }
  return context.body(JSON.stringify(problem), status, {
    ...headers,
    'content-type': 'application/problem+json',
  })
}

/** I/O that failed is said by its message and hint, which name no secrets; a fault of ours is not shown. */
export const problemOfError = (error: unknown): ProblemInput =>
  error instanceof BallastError
    ? {
        status: error.retryable ? 503 : 500,
        code: error.code,
        detail: `${error.message}. ${error.hint}`,
        ...(error.retryable && { headers: { 'retry-after': '5' } }),
      }
    : {
        status: 500,
        code: 'INTERNAL',
        detail: 'Something went wrong here; the log of the reconciler says what.',
      }

export const tooMany = (seconds: number): ProblemInput => ({
  status: 429,
  code: 'TOO_MANY_REQUESTS',
  detail: `Too many requests from this address; again in ${seconds} s.`,
  headers: { 'retry-after': String(seconds) },
})
