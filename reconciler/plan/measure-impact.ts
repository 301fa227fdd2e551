import type { RowBackend } from '../../schemas/node-state.ts'
import type { BackendShare, Impact } from '../../schemas/plan.ts'
import { RING_SLOTS } from '../../schemas/ring-limits.ts'
import { compareRings } from '../ring/compare-rings.ts'
import { countSlots } from '../ring/maglev.ts'
import type { BuildRing } from '../ring/ring-cache.ts'

type Backends = readonly RowBackend[]

/**
 * What a change of backends does to a service's traffic. Shares are exact (slots of the ring); the rings themselves
 * are only built where both sides have backends and they differ.
 */
export function measureImpact(before: Backends, after: Backends, buildRing: BuildRing): Impact {
  const backends = joinShares(before, after)
  const standing = { slots: RING_SLOTS, moved: 0, minimum: 0, backends }
  if (before.length === 0 || after.length === 0 || before === after) return standing
  const { moved, minimum } = compareRings(before, after, buildRing)
  return { ...standing, moved, minimum }
}

function joinShares(before: Backends, after: Backends): BackendShare[] {
  const shares = new Map<string, BackendShare>()
  const put = (backends: Backends, side: 'share_before' | 'share_after'): void => {
    const slots = countSlots(backends)
    for (const [index, { address }] of backends.entries()) {
      const share = shares.get(address) ?? { address, share_before: 0, share_after: 0 }
      shares.set(address, { ...share, [side]: (slots[index] ?? 0) / RING_SLOTS })
    }
  }
  put(before, 'share_before')
  put(after, 'share_after')
  return [...shares.values()]
}
