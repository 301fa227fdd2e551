import { asBallastError } from '../../../schemas/ballast-error.ts'
import type { Edit, EditOutcome } from '../../../schemas/edit.ts'
import type { BgpRow, BgpSpeakerRow, RowKey, Table } from '../../../schemas/node-state.ts'

/** What both daemons have in common: a batch takes effect as one, or not at all. */

interface Batch {
  /** The one that this worker speaks to. */
  readonly daemon: BgpSpeakerRow['daemon']
  readonly edits: readonly Edit<BgpRow>[]
  readonly signal: AbortSignal
}

/** Calls `work` for all of the edits; what it throws is the outcome of each. */
export async function applyAll(batch: Batch, work: () => Promise<void>): Promise<EditOutcome[]> {
  const { edits, signal } = batch
  if (signal.aborted) return failAll(edits, ABORTED)
  const other = findOther(batch)
  if (other !== null)
    return failAll(edits, {
      code: 'BGP_OTHER_DAEMON',
      message: `the Node asks for ${other}, and this worker speaks to ${batch.daemon}`,
      hint: `Write daemon: ${batch.daemon} in spec.bgp of the Node, or start the worker with --bgp-daemon ${other}.`,
      retryable: false,
    })
  try {
    await work()
    return edits.map(({ key }) => ({ result: 'applied', key }))
  } catch (error) {
    const { code, message, hint, retryable } = asBallastError(error)
    return failAll(edits, { code, message, hint, retryable })
  }
}

type Failure = Omit<Extract<EditOutcome, { result: 'failed' }>, 'result' | 'key'>

const ABORTED: Failure = {
  code: 'ABORTED',
  message: 'a newer want came first',
  hint: 'Nothing needs to be done.',
  retryable: true,
}

const failAll = (edits: readonly Edit<BgpRow>[], failure: Failure): EditOutcome[] =>
  edits.map(({ key }) => ({ result: 'failed', key, ...failure }))

function findOther({ daemon, edits }: Batch): string | null {
  for (const edit of edits)
    if (edit.op !== 'delete' && edit.after.kind === 'speaker' && edit.after.daemon !== daemon)
      return edit.after.daemon
  return null
}

export const pick = (rows: Table<BgpRow>, keys: readonly RowKey[] | undefined): Table<BgpRow> =>
  keys === undefined ? rows : Object.fromEntries(Object.entries(rows).filter(([key]) => keys.includes(key)))

export function editRows(rows: Table<BgpRow>, edits: readonly Edit<BgpRow>[]): Table<BgpRow> {
  const after = new Map(Object.entries(rows))
  for (const edit of edits) {
    if (edit.op === 'delete') after.delete(edit.key)
    else after.set(edit.key, edit.after)
  }
  return Object.fromEntries(after)
}
