import { BallastError } from '../../schemas/ballast-error.ts'

/** Replies that come while Redis starts or hands over to a replica: the same call may succeed soon. */
const PASSING = /^(LOADING|READONLY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|BUSY|NOREPLICAS)/
const NOT_ALLOWED = /^(NOAUTH|NOPERM|WRONGPASS)/
/** What Redis says of a command inside a script, before and after version 7. */
const IN_SCRIPT = /^ERR (ACL failure in script|The user executing the script)/

/** What a call failed with, as an error of ours. `where`: the address, in words. */
export function describeFailure(error: unknown, where: string): BallastError {
  if (error instanceof BallastError) return error
  const cause = (error as { previousErrors?: readonly unknown[] } | null)?.previousErrors?.[0] ?? error
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause)
  if (NOT_ALLOWED.test(reason) || IN_SCRIPT.test(reason)) {
    return new BallastError({
      code: 'REDIS_REFUSED',
      message: `Redis at ${where} refused: ${reason}`,
      hint: 'Check the user and the password, and what Redis allows that user (ACL LIST).',
      cause,
    })
  }
  if (cause instanceof Error && cause.name === 'ReplyError' && !PASSING.test(reason)) {
    const full = reason.startsWith('OOM')
    return new BallastError({
      code: 'REDIS_FAILED',
      message: `Redis at ${where} could not do it: ${reason}`,
      hint: full ? 'Give Redis more memory (maxmemory).' : 'See what Redis says, and its log.',
      retryable: full || reason.startsWith('MISCONF'),
      cause,
    })
  }
  return new BallastError({
    code: 'REDIS_UNREACHABLE',
    message: `Redis at ${where} does not answer: ${reason}`,
    hint: 'Start it, or check its address. Nodes keep forwarding; everything goes on when it is back.',
    retryable: true,
    cause,
  })
}

/** A Redis that drops keys when memory is short would lose wants without a word. `info`: its INFO. */
export function refuseEviction(info: string): void {
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction'
  if (policy === 'noeviction') return
  throw new BallastError({
    code: 'REDIS_MAY_EVICT',
    message: `Redis may drop keys when its memory is full (maxmemory-policy ${policy})`,
    hint: 'Run `CONFIG SET maxmemory-policy noeviction`, and set it in its configuration; Ballast needs a Redis of its own.',
    retryable: true,
  })
}
