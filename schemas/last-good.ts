import { z } from 'zod'
import { NodeState } from './node-state.ts'
import { TablesChange } from './tables-change.ts'
import { Want } from './want.ts'

export const LAST_GOOD_VERSION = 1

/** The worker's own memory: what it restores without Git and Redis, and what "newer" is compared with (rule 7). */
export const LastGood = z.strictObject({
  version: z.literal(LAST_GOOD_VERSION),
  want: Want,
  state: NodeState,
  /**
   * The boot (kernel's boot_id) in which the state was applied and read back; null: not yet. A node that
   * booted since has an empty dataplane, which is no drift but work.
   */
  appliedInBoot: z.string().nullable(),
})
export type LastGood = z.infer<typeof LastGood>

/** What makes a last good state of the one before. */
export const LastGoodChange = z.strictObject({
  want: Want,
  appliedInBoot: z.string().nullable(),
  tables: TablesChange,
})
export type LastGoodChange = z.infer<typeof LastGoodChange>
