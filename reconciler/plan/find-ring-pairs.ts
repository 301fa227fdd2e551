import type { RowBackend } from '../../schemas/node-state.ts'
import type { Fold } from './fold-edits.ts'
import { isService } from './fold-edits.ts'
import { needsRings } from './measure-impact.ts'
import { isByRings } from './plan-services.ts'
import { viewService } from './service-view.ts'

/** The backends of a service on both sides of its change. */
export type RingPair = readonly [before: readonly RowBackend[], after: readonly RowBackend[]]

/** Those whose rings the plan of these edits compares, each once: for comparing them before it is made. */
export function findRingPairs({ classes }: Fold): RingPair[] {
  const found = new Map<RingPair[0], Set<RingPair[1]>>()
  for (const { before, after, edits } of classes)
    for (const { key } of edits.xdp) {
      if (!isService(key)) continue
      const [was, is] = [viewService(before, key), viewService(after, key)]
      if (was === null || is === null || !isByRings(was, is)) continue
      if (!needsRings(was.backends, is.backends)) continue
      found.set(was.backends, (found.get(was.backends) ?? new Set()).add(is.backends))
    }
  return [...found].flatMap(([before, all]) => Array.from(all, after => [before, after] as const))
}
