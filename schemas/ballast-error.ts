/**
 * I/O that failed, as an error with a code for programs, a hint for people and the cause. Bad input is
 * never one of these; it is a `Diagnostic`. Caught at the command line and at the queue, nowhere between.
 */
export class BallastError extends Error {
  override readonly name = 'BallastError'
  /** Upper-case words, stable: `REDIS_UNREACHABLE`. */
  readonly code: string
  /** What to do about it, one sentence. */
  readonly hint: string
  /** The same call may succeed later. */
  readonly retryable: boolean
  /** ms that the other side asks us to wait first; 0: it does not say. */
  readonly waitMs: number

  constructor(fault: Fault) {
    super(fault.message, fault.cause === undefined ? undefined : { cause: fault.cause })
    this.code = fault.code
    this.hint = fault.hint
    this.retryable = fault.retryable ?? false
    this.waitMs = fault.waitMs ?? 0
  }
}

interface Fault {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly retryable?: boolean
  readonly waitMs?: number
  readonly cause?: unknown
}

/** Any error as one of these; what is none is a fault in the program, `INTERNAL`. */
export const asBallastError = (error: unknown): BallastError =>
  error instanceof BallastError
    ? error
    : new BallastError({
        code: 'INTERNAL',
        message: error instanceof Error ? error.message : String(error),
        hint: 'This is a fault of Ballast; please report it with the log.',
        cause: error,
      })
