import { z } from 'zod'
import { Digest } from './want.ts'

/**
 * The parts that a node's state is kept in, each under the SHA-256 of its canonical JSON:
 * root → index → up to 16 branches → up to 256 buckets → rows (`NodeState`'s, as they are). A change of one
 * row makes a new row, bucket, branch, index and root; nodes with the same services share all but the root.
 */

/** A driver's name, a space, and the row's key in its table: `xdp service/203.0.113.10:443/tcp`. */
const RowPath = z.string().regex(/^[a-z]+ ./s)

/** Row path → digest of the row. */
export const StateBucket = z.record(RowPath, Digest)
export type StateBucket = z.infer<typeof StateBucket>

/** An index or a branch: one hex digit → the branch or bucket below; what is empty is left out. */
export const StateBranch = z.record(z.string().regex(/^[0-9a-f]$/), Digest)
export type StateBranch = z.infer<typeof StateBranch>

export const STATE_ROOT_VERSION = 1

export const StateRoot = z.strictObject({
  version: z.literal(STATE_ROOT_VERSION),
  node: z.string().min(1),
  /** Rows that tend to be this node's alone: its interfaces, its settings. */
  own: StateBucket,
  /** The index above the services, placed by the first two hex digits of the SHA-256 of their row path. */
  services: Digest.nullable(),
})
export type StateRoot = z.infer<typeof StateRoot>
