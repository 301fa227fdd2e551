import type { RowBackend } from '../../schemas/node-state.ts'
import type { BackendShare, Impact } from '../../schemas/plan.ts'
import { compareRings, countSlots, RING_SLOTS } from '../ring/maglev.ts'

type Backends = readonly RowBackend[]

/**
 * What a change of backends does to a service's traffic. Shares are exact (slots of the ring); only a change of
 * backends that both sides have needs the rings themselves.
 */
export function measureImpact(before: Backends, after: Backends): Impact {
  const backends = joinShares(before, after)
  if (before.length === 0 || after.length === 0 || before === after) {
    return { slots: RING_SLOTS, moved: 0, minimum: 0, backends }
  }
  const { moved, minimum } = compareRings(before, after)
  return { slots: RING_SLOTS, moved, minimum, backends }
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
