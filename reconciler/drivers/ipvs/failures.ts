import { BallastError } from '../../../schemas/ballast-error.ts'
import type { EditOutcome } from '../../../schemas/edit.ts'
import type { RowKey } from '../../../schemas/node-state.ts'

/** By the key of the edit that failed. */
export type Failures = Map<RowKey, BallastError>

export const outcomeOf = (key: RowKey, error: BallastError | undefined): EditOutcome => {
  if (error === undefined) return { result: 'applied', key }
  const { code, message, hint, retryable } = error
  return { result: 'failed', key, code, message, hint, retryable }
}

export const aborted = (): BallastError =>
  new BallastError({
    code: 'ABORTED',
    message: 'a newer want came first',
    hint: 'Nothing needs to be done.',
    retryable: true,
  })

/** A line of a tool that nobody taught us: what it means for the tables is unknown, so nothing is concluded from the rest. */
export const unreadable = (tool: string, line: string, cause?: unknown): BallastError =>
  new BallastError({
    code: 'IPVS_OUTPUT_UNREADABLE',
    message: `${tool} printed a line that is not understood: ${JSON.stringify(line.slice(0, 200))}`,
    hint: 'This version of the tool or of the kernel is newer than Ballast knows; report it with the line.',
    cause,
  })

export const notApplied = (key: RowKey, said: string): BallastError =>
  new BallastError({
    code: 'IPVS_NOT_APPLIED',
    message: `${key} is not as it was written${said === '' ? '' : `; ipvsadm said: ${said}`}`,
    hint: 'Look at `dmesg` and `ipvsadm -L -n` on the node; a scheduler or a tunnel may need a module of the kernel.',
    retryable: true,
  })
