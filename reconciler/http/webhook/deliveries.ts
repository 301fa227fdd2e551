import { createHash } from 'node:crypto'

/** Deliveries that were here, the latest of them, in bounded memory. */
export interface Deliveries {
  /** False: was here before. */
  remember(delivery: string): boolean
}

const KEPT = 10_000

export function createDeliveries(kept = KEPT): Deliveries {
  // In the order in which they came.
  const seen = new Set<string>()
  return {
    remember(delivery) {
      const id = createHash('sha256').update(delivery).digest('base64')
      if (seen.has(id)) return false
      seen.add(id)
      if (seen.size > kept) seen.delete(seen.values().next().value!)
      return true
    },
  }
}
