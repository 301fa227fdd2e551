import type { Edit, EditOutcome } from '../../schemas/edit.ts'
import type { DriverName, RowKey, Table } from '../../schemas/node-state.ts'
import type { Facts } from '../../schemas/report.ts'
import type { Digest } from '../../schemas/want.ts'

/** What a driver on this machine can do; a plan that needs more is refused before anything is touched. */
export interface Capabilities {
  readonly available: boolean
  /** Why not, and how to mend it; '' when available. */
  readonly reason: string
}

export interface Observation<Row> {
  /** Nobody changes it. One that is made of the last one by what changed (`changeTable`) is compared the quicker. */
  readonly rows: Table<Row>
  readonly facts: Facts
  /** SHA-256; equal for equal rows, by the same driver on any node. */
  readonly digest: Digest
  /** As `fingerprint()` would have given it for what was read, or just before. */
  readonly fingerprint: string
}

/** Live connections by row key, then by backend: its address, and in `ipvs` a space and its port after that. */
export type LiveConnections = ReadonlyMap<RowKey, ReadonlyMap<string, number>>

/** "Look again": carries no payload that anyone may trust. */
export interface Hint {
  readonly reason: string
}

/**
 * One kind of dataplane table on one node. The only interface that tests may fake.
 *
 * All of it is level-triggered: nothing is remembered between calls that the kernel (or daemon) does not
 * hold, so a killed process loses nothing.
 */
export interface Driver<Row> {
  readonly name: DriverName

  /** Never throws. */
  capabilities(): Promise<Capabilities>

  /** Reads what is really there. Throws `BallastError` when it cannot be read; what is absent is simply not among the rows. */
  observe(keys?: readonly RowKey[]): Promise<Observation<Row>>

  /** Cheap; equal to an earlier one means that nothing was changed since. */
  fingerprint(): Promise<string>

  /** Of these services, as far as the dataplane knows them; what is drained goes when it has none. */
  connections?(keys: readonly RowKey[]): Promise<LiveConnections>

  watch?(signal: AbortSignal): AsyncIterable<Hint>

  /**
   * One batch, one outcome per edit, in the order given. Idempotent: creating what exists makes it as asked,
   * deleting what is gone succeeds. An outcome `applied` means that the call went through; what `observe`
   * reads afterwards decides. Aborting leaves every row old or new, never between. Throws only when nothing
   * at all could be tried.
   */
  apply(edits: readonly Edit<Row>[], signal: AbortSignal): Promise<EditOutcome[]>

  /** Lets go of handles. The dataplane stays. */
  close(): Promise<void>
}
