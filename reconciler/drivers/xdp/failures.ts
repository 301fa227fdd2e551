import { BallastError } from '../../../schemas/ballast-error.ts'
import type { EditOutcome } from '../../../schemas/edit.ts'
import type { RowKey } from '../../../schemas/node-state.ts'

/** Why edits were not made, by key; what is not in it went through. */
export type Failures = Map<RowKey, BallastError>

export const aborted = (): BallastError =>
  new BallastError({
    code: 'ABORTED',
    message: 'it was not begun: something newer came',
    hint: 'Nothing needs to be done; the newer state is applied next.',
    retryable: true,
  })

export const noSettings = (): BallastError =>
  new BallastError({
    code: 'XDP_NO_SETTINGS',
    message: 'no program is loaded on this node, so there are no maps to write to',
    hint: 'The settings row comes first; look for why it is missing or failed.',
    retryable: true,
  })

export function outcomeOf(key: RowKey, error: BallastError | undefined): EditOutcome {
  if (error === undefined) return { result: 'applied', key }
  const { code, message, hint, retryable } = error
  return { result: 'failed', key, code, message, hint, retryable }
}
